import pytest
import torch
import torch.nn.functional as F
from conftest import cascade, knet, pidnet, tiny_segmentor
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmseg_semi.models.features import catch_features, classifier, features_before_classifier, last_head, pool_to_stride


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmseg')


def with_head(**head):
    segmentor = tiny_segmentor()
    segmentor['decode_head'].update(head)
    for key in ('num_convs', 'concat_input'):
        segmentor['decode_head'].pop(key)
    return segmentor


def deeplabv3plus():
    return with_head(type='DepthwiseSeparableASPPHead', dilations=(1, 2), c1_in_channels=8, c1_channels=4)


def pspnet():
    return with_head(type='PSPHead', pool_scales=(1, 2))


def danet():
    """Two more outputs, whose features pass the same dropout before and after."""
    return with_head(type='DAHead', pam_channels=4)


@pytest.mark.parametrize('drop', [0.1, 0])
@pytest.mark.parametrize(
    ('segmentor', 'stride'),
    [(deeplabv3plus, 4), (pspnet, 8), (danet, 8), (cascade, 8), (pidnet, 8), (tiny_segmentor, 8)],
)
def test_the_classifier_makes_the_networks_prediction_of_them(segmentor, stride, drop):
    cfg = segmentor()
    heads = cfg['decode_head'] if isinstance(cfg['decode_head'], list) else [cfg['decode_head']]
    for head in heads:
        head['dropout_ratio'] = drop
    torch.manual_seed(0)
    network = MODELS.build(cfg).eval()
    torch.nn.init.normal_(classifier(network).weight)
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        feature = features_before_classifier(network, image)
        logits = network(image, mode='tensor')
        logits = logits[0] if isinstance(logits, tuple) else logits
        torch.testing.assert_close(classifier(network)(feature), logits)
        assert logits.std() > 0
        assert feature.shape[2:] == (64 // stride, 64 // stride)
        pooled = pool_to_stride(feature, (64, 64), 8)
        torch.testing.assert_close(pooled, F.avg_pool2d(feature, 8 // stride))
        if drop:  # in training they are those before dropout
            last_head(network).dropout.train()
            torch.testing.assert_close(features_before_classifier(network, image), feature)


def test_a_head_without_classifier_or_one_that_does_not_use_it_is_named():
    with pytest.raises(ValueError, match='IterativeDecodeHead has none: take a decode head that has'):
        classifier(MODELS.build(knet()))
    network = MODELS.build(tiny_segmentor())
    network.decode_head.cls_seg = lambda feature: feature
    with pytest.raises(ValueError, match='conv_seg of FCNHead takes no part'):
        features_before_classifier(network, torch.randn(2, 3, 32, 32))


def test_features_are_caught_in_the_pass_that_gives_the_logits_with_their_gradient():
    model = MODELS.build(dict(type='SemiSegmentor', segmentor=tiny_segmentor()))
    image = torch.randn(2, 3, 32, 32)
    with catch_features(model.student) as caught:
        logits = model.seg_logits(model.student.eval(), image)
    (feature,) = caught
    made = F.interpolate(classifier(model.student)(feature), size=(32, 32), mode='bilinear')
    torch.testing.assert_close(made, logits)
    assert torch.autograd.grad(feature.sum(), model.student.backbone.stem[0].weight)[0].abs().sum() > 0
    assert not classifier(model.student)._forward_pre_hooks
