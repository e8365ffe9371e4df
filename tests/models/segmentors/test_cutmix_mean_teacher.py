import copy

import pytest
import torch
from conftest import tiny_segmentor
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_semi.models import Prediction, UnlabeledViews, View, pixel_consistency_loss


@pytest.fixture
def model():
    """A network of double precision without batch statistics, with the paper's losses over all pairs."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    segmentor = tiny_segmentor('GN')
    for part in ('backbone', 'decode_head', 'auxiliary_head'):
        segmentor[part]['norm_cfg'] = dict(type='GN', num_groups=4)
    segmentor['decode_head']['dropout_ratio'] = 0
    losses = [
        dict(type='PixelConsistencyLoss', loss_weight=20.0),
        dict(type='StructuredConsistencyLoss', num_boxes=2, num_pairs=None, loss_weight=3.0),
    ]
    model = MODELS.build(dict(type='CutMixMeanTeacher', segmentor=segmentor, consistency=losses))
    model.init_weights()
    for p in model.student.parameters():
        p.data += 0.05 * torch.randn_like(p)
    return model.double().train()


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(1)
    weak, strong = torch.randn(2, 4, 3, 32, 32, dtype=torch.float64, generator=generator)
    valid = torch.ones(4, 32, 32, dtype=torch.bool)
    valid[:, 28:] = False
    region = torch.zeros(4, 32, 32, dtype=torch.long)
    region[:, 4:14, 4:14], region[:, 10:20, 10:18], region[1, 2:8, 20:30] = 1, 2, 3
    unknown = torch.full_like(region, 255)
    return UnlabeledViews(weak=View(weak, valid, region, unknown, []), strong=View(strong, valid, region, unknown, []))


def reference(model, views):
    """Equations 3, 4 and 10 of Kim et al. 2020, image by image and box by box."""
    metas = [dict(img_shape=(32, 32), pad_shape=(32, 32))]
    pixel, structured, counted = 0, 0, 0
    for i in range(2):
        region, pasted = views.strong.region[i], views.strong.region[i] > 0
        image = torch.where(pasted, views.strong.image[i + 2], views.strong.image[i])
        prob = [model.teacher.encode_decode(views.weak.image[j][None], metas)[0].softmax(0) for j in (i, i + 2)]
        teacher = torch.where(pasted, prob[1], prob[0]).detach()
        student = model.student.encode_decode(image[None], metas)[0].softmax(0)
        valid = torch.where(pasted, views.weak.valid[i + 2], views.weak.valid[i])
        pixel = pixel + ((student - teacher) ** 2).sum(0)[valid].sum()
        counted += valid.sum()
        for n in range(int(region.max()) - 1, int(region.max()) + 1):
            inside = (region == n) & valid
            s, t = (torch.nn.functional.normalize(p[:, inside], dim=0) for p in (student, teacher))
            structured = structured + ((s.T @ s - t.T @ t) ** 2).mean()
    return dict(loss_pixel_consistency=20 * pixel / counted, loss_structured_consistency=3 * structured / 2)


def test_one_step_is_that_of_the_paper_in_value_and_gradient(model, views):
    losses, expected = model.loss_unlabeled(views), reference(model, views)
    assert losses.keys() == expected.keys()
    parameters = [p for name, p in model.student.named_parameters() if 'auxiliary' not in name]
    for name, value in losses.items():
        torch.testing.assert_close(value, expected[name])
        assert value > 0
        gradients = zip(
            torch.autograd.grad(value, parameters, retain_graph=True),
            torch.autograd.grad(expected[name], parameters, retain_graph=True),
            strict=True,
        )
        for gradient, correct in gradients:
            torch.testing.assert_close(gradient, correct, rtol=1e-6, atol=1e-9)


def test_predictions_on_padding_never_count(model, views):
    target = model.student_input(views)[1]
    for loss in model.consistency:
        student = torch.randn(2, 8, 32, 32, requires_grad=True)
        value = loss(Prediction(student), target)
        changed = torch.where(target.valid[:, None], student, torch.randn_like(student))
        torch.testing.assert_close(loss(Prediction(changed), target), value)
        value.backward()
        assert not student.grad.transpose(0, 1)[:, ~target.valid].any()


def test_the_teacher_gets_no_gradient(model, views):
    sum(model.loss_unlabeled(views).values()).backward()
    assert all(p.grad is None for p in model.teacher.parameters())
    assert model.student.backbone.stem[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize('joint_batch', [True, False])
def test_mixed_and_labelled_images_share_their_batch_statistics_if_asked(views, joint_batch):
    init_default_scope('mmseg')
    torch.manual_seed(0)
    segmentor = tiny_segmentor('BN')
    segmentor['decode_head']['dropout_ratio'] = segmentor['auxiliary_head']['dropout_ratio'] = 0
    losses = [dict(type='PixelConsistencyLoss')]
    config = dict(type='CutMixMeanTeacher', segmentor=segmentor, consistency=losses, joint_batch=joint_batch)
    model = MODELS.build(config).double().train()
    model.init_weights()
    student = copy.deepcopy(model).student
    labeled = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    label = [SegDataSample(gt_sem_seg=PixelData(data=torch.ones(1, 32, 32, dtype=torch.long))) for _ in labeled]
    image, target = model.student_input(views)
    if joint_batch:
        features = student.extract_feat(torch.cat([labeled, image]))
        own, mixed = [f[:3] for f in features], [f[3:] for f in features]
    else:
        own, mixed = student.extract_feat(labeled), student.extract_feat(image)
    expected = student.decode_head.loss(own, label, {})['loss_ce']
    prob = torch.nn.functional.interpolate(student.decode_head(mixed), (32, 32), mode='bilinear').softmax(1)

    samples = dict(labeled=label)
    for name in ('weak', 'strong'):
        view = getattr(views, name)
        samples[name] = [
            SegDataSample(valid_map=PixelData(data=(~v).long()[None]), cutmix_region=PixelData(data=r[None]))
            for v, r in zip(view.valid, view.region, strict=True)
        ]
    inputs = dict(labeled=labeled, weak=views.weak.image, strong=views.strong.image)
    losses = model.loss(inputs, samples)
    torch.testing.assert_close(losses['decode.loss_ce'], expected)
    distance = pixel_consistency_loss(prob, target.prob, target.valid)
    torch.testing.assert_close(losses['loss_pixel_consistency'], distance)
