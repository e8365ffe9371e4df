import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import binary, cascade, encnet, knet, mask_classification, pidnet, segformer, tiny_segmentor
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.utils._python_dispatch import TorchDispatchMode

from mmseg_semi.models import Target, UnlabeledViews, View, cutmix

SIZE = (64, 64)
METAS = [dict(img_shape=SIZE, pad_shape=SIZE)]


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmseg')


def build(method, segmentor=None, **options):
    torch.manual_seed(0)
    segmentor = segmentor or tiny_segmentor()
    model = MODELS.build(dict(type=method, segmentor=segmentor, **options))
    model.init_weights()
    for p in model.student.parameters():
        p.data += 0.05 * torch.randn_like(p)
    return model.double().train()


def without_dropout():
    segmentor = tiny_segmentor()
    for head in ('decode_head', 'auxiliary_head'):
        segmentor[head]['dropout_ratio'] = 0
    return segmentor


def make_batch(num_labeled=2, num_unlabeled=4, size=SIZE):
    """Inputs and data samples as the data preprocessor gives them, padding and regions included."""
    generator = torch.Generator().manual_seed(1)
    label = torch.randint(0, 2, (num_labeled, *size), generator=generator)
    label[:, :4] = 255
    labeled = [
        SegDataSample(
            metainfo=METAS[0],
            gt_sem_seg=PixelData(data=x[None]),
            gt_edge_map=PixelData(data=(x[None] == 1).long()),
        )
        for x in label
    ]
    inputs = dict(labeled=torch.randn(num_labeled, 3, *size, dtype=torch.float64, generator=generator))
    samples = dict(labeled=labeled)
    valid = torch.zeros(1, *SIZE, dtype=torch.long)
    valid[:, 56:] = 255
    for name, box in dict(weak=None, strong=(4, 40), strong1=(4, 40), strong2=(20, 60)).items():
        region = torch.zeros_like(valid)
        if box:
            region[:, slice(*box), slice(*box)] = 1
        inputs[name] = torch.randn(num_unlabeled, 3, *SIZE, dtype=torch.float64, generator=generator)
        samples[name] = [
            SegDataSample(valid_map=PixelData(data=valid), cutmix_region=PixelData(data=region))
            for _ in range(num_unlabeled)
        ]
    return inputs, samples


def reference_target(model, inputs, samples):
    """L_x / 2, features of the weak base images and pseudo labels.

    Base images are labelled in training mode, in one batch with the labelled ones; partners in eval mode.
    """
    features = model.student.extract_feat(torch.cat([inputs['labeled'], inputs['weak'][:2]]))
    labeled, weak = [feature[:2] for feature in features], [feature[2:] for feature in features]
    heads = (model.student.decode_head, model.student.auxiliary_head)
    supervised = sum(head.loss(labeled, samples['labeled'], {})['loss_ce'] for head in heads) / 2
    base = F.interpolate(model.student.decode_head(weak), SIZE, mode='bilinear')
    model.student.eval()
    partner = model.student.encode_decode(inputs['weak'][2:], METAS * 2)
    model.student.train()
    return supervised, weak, torch.cat([base, partner]).detach()


def reference_stream(logits, soft, box, threshold):
    """Cross entropy with the mixed pseudo labels, image by image; rows 56 and below are padding."""
    total = 0
    for i in range(2):
        mixed = soft[i].clone()
        if box:
            mixed[:, slice(*box), slice(*box)] = soft[i + 2][:, slice(*box), slice(*box)]
        confidence, label = mixed.softmax(0).max(0)
        loss = F.cross_entropy(logits[i][None], label[None], reduction='none')[0]
        total = total + (loss * (confidence >= threshold))[:56].sum()
    return total / (2 * 56 * 64)


def mix(images, box):
    mixed = images[:2].clone()
    mixed[..., slice(*box), slice(*box)] = images[2:][..., slice(*box), slice(*box)]
    return mixed


def compare(model, losses, other, expected):
    """Compare a step of one model with the expected losses of an equal one."""
    expected_total = sum(expected)
    total = sum(value for name, value in losses.items() if 'loss' in name)
    torch.testing.assert_close(total, expected_total)
    gradients = torch.autograd.grad(total, list(model.student.parameters()))
    correct_gradients = torch.autograd.grad(expected_total, list(other.student.parameters()))
    for gradient, correct in zip(gradients, correct_gradients, strict=True):
        torch.testing.assert_close(gradient, correct, rtol=1e-6, atol=1e-10)


def test_a_fixmatch_step_is_that_of_the_paper_in_value_and_gradient():
    losses = [dict(type='PseudoLabelCrossEntropyLoss', threshold=0.14)]
    model = build('FixMatch', without_dropout(), consistency=losses)
    inputs, samples = make_batch()
    untouched = copy.deepcopy(model)  # batch statistics are about to move
    supervised, _, soft = reference_target(model, inputs, samples)
    strong = model.student.encode_decode(mix(inputs['strong'], (4, 40)), METAS * 2)
    expected = [supervised, reference_stream(strong, soft, (4, 40), 0.14) / 2]
    losses = untouched.loss(inputs, samples)
    assert 0.05 < losses['mask_ratio'] < 0.95
    compare(untouched, losses, model, expected)


def test_a_unimatch_step_is_that_of_the_paper_in_value_and_gradient(monkeypatch):
    losses = [dict(type='PseudoLabelCrossEntropyLoss', threshold=0.14)]
    model = build('UniMatch', without_dropout(), consistency=losses)
    inputs, samples = make_batch()
    untouched = copy.deepcopy(model)
    supervised, weak, soft = reference_target(model, inputs, samples)

    def drop_every_other_channel(feature, p):
        assert p == 0.5
        return feature * (torch.arange(feature.shape[1]) % 2)[:, None, None]

    monkeypatch.setattr(F, 'dropout2d', drop_every_other_channel)
    perturbed = model.student.decode_head([drop_every_other_channel(feature, 0.5) for feature in weak])
    perturbed = F.interpolate(perturbed, SIZE, mode='bilinear')
    both = torch.cat([mix(inputs['strong1'], (4, 40)), mix(inputs['strong2'], (20, 60))])
    strong1, strong2 = model.student.encode_decode(both, METAS * 4).chunk(2)
    expected = [
        supervised,
        reference_stream(strong1, soft, (4, 40), 0.14) / 8,
        reference_stream(strong2, soft, (20, 60), 0.14) / 8,
        reference_stream(perturbed, soft, None, 0.14) / 4,
    ]
    compare(untouched, untouched.loss(inputs, samples), model, expected)


@pytest.mark.parametrize('method', ['FixMatch', 'UniMatch'])
def test_until_unlabelled_images_count_the_student_trains_as_it_would_alone(method):
    model, (inputs, samples) = build(method, without_dropout(), unsup_start=10), make_batch()
    losses = model.loss(inputs, samples)
    alone = model.student.loss(inputs['labeled'], samples['labeled'])
    assert losses.keys() == alone.keys()
    assert all(torch.equal(losses[name], alone[name]) for name in losses)


@pytest.mark.parametrize('method', ['FixMatch', 'UniMatch'])
def test_when_unlabelled_images_begin_to_count_the_loss_of_labels_keeps_its_scale(method, monkeypatch):
    early, late = (build(method, without_dropout(), unsup_start=start) for start in (0, 10))
    monkeypatch.setattr(late, 'unsup_weight', lambda: 1.0)
    monkeypatch.setattr(F, 'dropout2d', lambda feature, p: feature)
    half, whole = (model.loss(*make_batch()) for model in (early, late))
    assert half.keys() == whole.keys()
    for name in half:
        torch.testing.assert_close(whole[name], half[name] * (2 if 'loss' in name else 1), rtol=0, atol=0)


@pytest.mark.parametrize('method', ['FixMatch', 'UniMatch'])
def test_the_teacher_labels_all_weak_images_alike_if_asked(method):
    model = build(method, ema_teacher=True)
    for p in model.teacher.parameters():
        p.data += 0.1 * torch.randn_like(p)
    inputs, samples = make_batch()
    views = model.unlabeled_views(inputs, samples)
    target = model.pseudo_label(views)
    torch.testing.assert_close(target.logits, model.teacher.encode_decode(inputs['weak'], METAS * 4).detach())
    model.loss(inputs, samples)['mask_ratio'].item()


def test_statistics_tell_the_share_of_confident_pixels_and_their_confidence():
    logits = torch.zeros(1, 8, 2, 4)
    logits[0, 3, 0] = 9.0
    valid = torch.ones(1, 2, 4, dtype=torch.bool)
    valid[0, :, 3] = False
    target = Target(logits, valid, region=valid.long())
    statistics = target.statistics(0.9, None)
    assert statistics['mask_ratio'] == 0.5
    assert 'pseudo_label_accuracy' not in statistics
    sure = logits[0, :, 0, 0].softmax(0).max()
    torch.testing.assert_close(statistics['confidence'], (sure + 1 / 8) / 2)
    true_label = torch.full((1, 2, 4), 255)
    true_label[0, 0, :3], true_label[0, 1] = torch.tensor([3, 4, 254]), 0
    assert target.statistics(0.9, true_label)['pseudo_label_accuracy'] == 0.5


class Softmaxes(TorchDispatchMode):
    """Count images whose classes are normalised."""

    images = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if str(func) in ('aten._softmax.default', 'aten._log_softmax.default', 'aten.logsumexp.default'):
            self.images += len(args[0])
        return func(*args, **(kwargs or {}))


def test_each_prediction_is_normalised_once_however_often_it_is_mixed():
    model = build('UniMatch', consistency=[dict(type='PseudoLabelCrossEntropyLoss', threshold=0.13)])
    inputs, samples = make_batch()
    with Softmaxes() as softmaxes:
        model.loss(inputs, samples)
    two_heads, targets, three_streams = 2 * 2, 4, 3 * 2
    assert softmaxes.images == two_heads + targets + three_streams


LISTS = [
    [dict(type='PixelConsistencyLoss', loss_weight=2.0), dict(type='StructuredConsistencyLoss', num_pairs=50)],
    [dict(type='PseudoLabelCrossEntropyLoss', threshold=0.13), dict(type='InterPixelLoss', threshold=0.13)],
    [dict(type='InterPixelLoss', mode='correlation', threshold=0.13), dict(type='PixelConsistencyLoss')],
]


@pytest.mark.parametrize('consistency', LISTS)
@pytest.mark.parametrize('method', ['CutMixMeanTeacher', 'FixMatch', 'UniMatch'])
def test_any_losses_can_be_listed_in_any_method(method, consistency):
    model = build(method, consistency=consistency)
    losses = model.loss(*make_batch())
    streams = 3 if method == 'UniMatch' else 1
    unsupervised = {name: value for name, value in losses.items() if '_ce' not in name and 'loss' in name}
    assert len(unsupervised) == streams * len(consistency)
    for name, value in unsupervised.items():
        if name == 'fp.loss_structured_consistency':
            continue  # nothing is pasted in the perturbed stream
        gradient = torch.autograd.grad(value, model.student.backbone.stem[0].weight, retain_graph=True)[0]
        assert gradient.isfinite().all(), name
        assert gradient.any(), name


def test_two_losses_of_one_name_are_refused():
    with pytest.raises(ValueError, match='give each a loss_name of its own'):
        build('FixMatch', consistency=[dict(type='PixelConsistencyLoss')] * 2)


@pytest.mark.parametrize(
    'segmentor', [tiny_segmentor, cascade, binary, pidnet, knet, encnet, segformer, mask_classification]
)
@pytest.mark.parametrize('method', ['CutMixMeanTeacher', 'FixMatch', 'UniMatch'])
def test_any_kind_of_segmentor_takes_a_step(method, segmentor):
    model = build(method, segmentor(), **({} if method == 'CutMixMeanTeacher' else dict(consistency=LISTS[1])))
    total, _ = model.parse_losses(model.loss(*make_batch()))
    total.backward()
    assert total.isfinite()
    gradients = {name: p.grad for name, p in model.student.named_parameters() if p.requires_grad}
    assert all(gradient is not None for gradient in gradients.values())
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert all(p.grad is None for p in model.teacher.parameters())
    assert all(module.training for module in model.student.modules())


def test_a_network_that_extracts_otherwise_in_training_sees_the_images_apart():
    model = build('FixMatch', pidnet())
    inputs, _ = make_batch()
    labeled, weak = model.joint_features(inputs['labeled'], inputs['weak'])
    assert isinstance(labeled, tuple)
    assert len(labeled) == 3
    assert isinstance(weak, torch.Tensor)
    assert len(weak) == 4
    assert all(module.training for module in model.student.modules())


def test_features_that_a_network_does_not_ask_for_are_no_silent_loss():
    model = build('UniMatch')
    student = model.student
    student.encode_decode = lambda image, metas: student.decode_head(student.backbone(image))
    with pytest.raises(ValueError, match='EncoderDecoder makes its features elsewhere than in extract_feat'):
        model.loss(*make_batch())


def test_a_joint_batch_shares_its_batch_statistics():
    model = build('FixMatch')
    inputs, _ = make_batch()
    features = model.student.extract_feat(torch.cat([inputs['labeled'], inputs['weak']]))
    labeled, weak = model.joint_features(inputs['labeled'], inputs['weak'])
    for joint, first, second in zip(features, labeled, weak, strict=True):
        torch.testing.assert_close(torch.cat([first, second]), joint)


def test_images_of_two_sizes_cannot_join():
    model = build('FixMatch')
    with pytest.raises(ValueError, match=r'measure \(32, 64\) and \(64, 64\): use one crop_size for both'):
        model.loss(*make_batch(size=(32, 64)))


def test_without_unlabelled_images_the_labels_alone_are_trained_on():
    model = build('UniMatch')
    inputs, samples = make_batch()
    losses = model.loss(dict(labeled=inputs['labeled']), dict(labeled=samples['labeled']))
    assert {name for name in losses if 'loss' in name} == {'decode.loss_ce', 'aux.loss_ce'}


def test_a_view_has_its_own_region():
    inputs, samples = make_batch()
    views = UnlabeledViews.gather(inputs, samples)
    assert not torch.equal(views.strong1.region, views.strong2.region)
    assert not views.weak.region.any()
    assert isinstance(views.weak, View)
    target = Target(torch.randn(4, 8, *SIZE), views.weak.valid, views.weak.region)
    assert torch.equal(cutmix(inputs['strong2'], target, views.strong2.region)[1].region, views.strong2.region[:2])


@pytest.mark.parametrize('method', ['CutMixMeanTeacher', 'FixMatch', 'UniMatch'])
def test_with_channels_last_losses_and_gradients_stay_the_same(method):
    results, weights = [], build(method, without_dropout()).state_dict()
    for channels_last in (False, True):
        model = build(method, without_dropout(), channels_last=channels_last)
        model.load_state_dict(weights)
        torch.manual_seed(0)
        losses = model.loss(*make_batch())
        model.parse_losses(losses)[0].backward()
        results.append((losses, {name: p.grad for name, p in model.named_parameters()}))
    torch.testing.assert_close(*results)
    for network in (model.student, model.teacher):
        feature = network.extract_feat(torch.randn(2, 3, 32, 32, dtype=torch.float64))[-1]
        assert feature.is_contiguous(memory_format=torch.channels_last)
