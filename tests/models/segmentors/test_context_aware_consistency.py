import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import binary, cascade, pidnet, tiny_segmentor
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_semi.models import UnlabeledViews, features_before_classifier

SIZE, STRIDE = 32, 8


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmseg')


def build(segmentor=None, **options):
    torch.manual_seed(0)
    segmentor = segmentor or tiny_segmentor()
    options = dict(stride=STRIDE, num_negatives=40, new_negatives=24, **options)
    model = MODELS.build(dict(type='ContextAwareConsistency', segmentor=segmentor, **options))
    model.init_weights()
    for p in model.parameters():
        p.data += 0.05 * torch.randn_like(p)
    return model.double().train()


def initialised(method, **options):
    torch.manual_seed(0)
    model = MODELS.build(dict(type=method, segmentor=tiny_segmentor(), **options))
    model.init_weights()
    return model.student.state_dict(), torch.get_rng_state()


NORMAL = dict(type='Projector', init_cfg=dict(type='Normal', layer='Conv2d'))


@pytest.mark.parametrize(
    ('method', 'options'),
    [
        ('ContextAwareConsistency', dict(projector=dict(type='Projector'))),
        ('ContextAwareConsistency', dict(projector=NORMAL)),
        ('WeaklyLabeledConsistency', dict(projector=None)),
    ],
)
def test_the_student_begins_and_goes_on_as_without_the_method_s_own_heads(method, options):
    import projects.weak_image_labels.weakly_labeled_consistency  # noqa: F401

    (alone, numbers), (student, numbers_after) = initialised('SemiSegmentor'), initialised(method, **options)
    assert all(torch.equal(alone[name], student[name]) for name in alone)
    assert torch.equal(numbers, numbers_after)


def test_heads_of_one_method_begin_differently():
    model = MODELS.build(dict(type='SemiSegmentor', segmentor=tiny_segmentor()))
    heads = []
    for _ in range(2):
        with model.own_heads():
            heads.append(torch.rand(4))
    assert not torch.equal(*heads)


def make_views(offsets=((0, 0), (8, 16)), flips=(None, 'horizontal'), size=SIZE, label=None):
    """Two crops of two images, whose top left corners lie at the offsets."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, size + 32, size + 32, dtype=torch.float64, generator=generator)
    overlap = [max(o[i] for o in offsets) for i in (0, 1)] + [min(o[i] for o in offsets) + size for i in (0, 1)]
    inputs, samples = {}, {}
    for name, (top, left), flip in zip(('crop1', 'crop2'), offsets, flips, strict=True):
        crop = images[:, :, top : top + size, left : left + size]
        inputs[name] = crop.flip(3) if flip else crop
        true_label = torch.full((1, size, size), 255) if label is None else label[None]
        samples[name] = [
            SegDataSample(
                metainfo=dict(
                    img_shape=(size, size), crop_offset=(top, left), flip_direction=flip, iou_in_range=True,
                    overlap=tuple(side - (top, left)[i % 2] for i, side in enumerate(overlap)),
                ),
                valid_map=PixelData(data=torch.zeros(1, size, size, dtype=torch.long)),
                true_label=PixelData(data=true_label),
            )
            for _ in images
        ]  # fmt: skip
    return inputs, samples


def embed(model, image):
    return model.embed(features_before_classifier(model.student, image), image.shape[2:])


def gather(*batch):
    return UnlabeledViews.gather(*batch)


def test_a_step_is_that_of_the_paper_in_value_and_gradient():
    segmentor = tiny_segmentor()
    segmentor['backbone']['strides'] = (1, 1, 1, 1)  # features of stride 4, to be pooled
    segmentor['decode_head']['dropout_ratio'] = 0
    contrast = dict(type='DirectionalContrastiveLoss', loss_weight=0.1)
    model = build(segmentor, contrast=contrast)
    inputs, samples = make_views()
    crops = torch.cat([inputs['crop1'], inputs['crop2']])
    threshold = embed(copy.deepcopy(model), crops)[2].quantile(0.5).item()  # between two of the 64 cells
    model.contrast.pos_threshold = threshold
    reference = copy.deepcopy(model)
    torch.manual_seed(5)
    loss = model.loss_unlabeled(gather(inputs, samples))['loss_dc']

    torch.manual_seed(5)
    x = reference.student.extract_feat(crops)
    feature = F.avg_pool2d(reference.student.decode_head._forward_feature(x), 2)
    confidence, label = reference.student.decode_head.conv_seg(feature).softmax(1).max(1)
    phi = reference.projector(feature)
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(4), indexing='ij')
    cells = torch.cartesian_prod(torch.arange(4), torch.arange(4), torch.arange(4))
    chosen = cells[torch.randperm(len(cells))[:24]]

    def place(i, r, c):
        """Image, row and column of a cell in its original image."""
        return (i, r, c) if i < 2 else (i - 2, r + 1, 3 - c + 2)

    total = 0
    for one, two in ((0, 2), (2, 0)):
        terms = []
        for b in range(2):
            for r, c in zip(rows.flatten().tolist(), columns.flatten().tolist(), strict=True):
                here = place(one + b, r, c)
                same = [cell for cell in cells.tolist() if cell[0] == two + b and place(*cell) == here]
                if not same:
                    continue
                other = tuple(same[0])
                own = (one + b, r, c)
                if not (confidence[own] < confidence[other] and confidence[other] > threshold):
                    continue
                anchor = phi[own[0], :, r, c]
                positive = phi[other[0], :, other[1], other[2]].detach()
                r_positive = (anchor @ positive / 0.1).exp()
                r_negative = sum(
                    (anchor @ phi[n[0], :, n[1], n[2]].detach() / 0.1).exp()
                    for n in chosen.tolist()
                    if label[tuple(n)] != label[own] and place(*n) != here
                )
                terms.append(-(r_positive / (r_positive + r_negative)).log())
        total = total + sum(terms) / len(terms)
    torch.testing.assert_close(loss, 0.1 * total)
    parameters = ['backbone.stem.0.weight', 'decode_head.convs.0.conv.weight']
    for name in parameters:
        gradient, correct = (
            torch.autograd.grad(value, dict(net.named_parameters())[name], retain_graph=True)[0]
            for value, net in ((loss, model), (0.1 * total, reference))
        )
        torch.testing.assert_close(gradient, correct)
        assert gradient.any()


def test_pooled_features_of_the_overlap_are_the_same_place_in_both_crops():
    model = build()
    inputs, samples = make_views(flips=(None, None), offsets=((0, 0), (0, 0)))
    phi, label, confidence = embed(model, torch.cat([inputs['crop1'], inputs['crop2']]))
    assert phi.shape == (4, 4, 4, 128)
    assert label.shape == confidence.shape == (4, 4, 4)
    torch.testing.assert_close(phi[:2], phi[2:])
    place, shown, _ = model.cells(gather(inputs, samples))
    assert torch.equal(place[:2], place[2:])
    assert shown.all()


def test_negatives_of_previous_batches_come_from_the_bank_and_padding_gives_none():
    model = build()
    inputs, samples = make_views()
    samples['crop1'][0].valid_map.data[:, 16:] = 255
    phi, label, _ = embed(model, torch.cat([inputs['crop1'], inputs['crop2']]))
    place, shown, _ = model.cells(gather(inputs, samples))
    assert not shown[0, 2:].any()
    assert shown.sum() == 64 - 8
    model.new_negatives = 100
    first = model.negatives(phi, label, place, shown)
    assert len(first[0]) == 56
    assert set(first[2].tolist()) == set(place[shown].tolist())
    kept = model.bank.feature.clone()
    second = model.negatives(phi, label, place, shown)
    assert len(second[0]) == 56 + 16
    assert (second[2][56:] == -1).all()
    assert torch.equal(second[0][56:], kept)
    assert len(kept) == 16


def test_precision_of_negatives_is_that_of_all_pairs():
    model = build()
    generator = torch.Generator().manual_seed(3)
    anchors, negatives = (
        torch.randint(0, 4, (2, 30), generator=generator),
        torch.randint(0, 4, (2, 40), generator=generator),
    )
    pairs = [(a, n) for a in anchors.T.tolist() for n in negatives.T.tolist() if a[0] != n[0]]
    expected = sum(a[1] != n[1] for a, n in pairs) / len(pairs)
    assert model._precision(anchors, negatives).item() == pytest.approx(expected)


@pytest.mark.parametrize(('sampling', 'unknown'), [(True, 255), (True, 254), (False, 255)])
def test_the_log_tells_active_anchors_confidence_and_precision_where_labels_are_known(sampling, unknown):
    contrast = dict(type='DirectionalContrastiveLoss', pos_threshold=0.0, negative_sampling=sampling)
    model = build(contrast=contrast)
    inputs, samples = make_views(flips=(None, None), offsets=((0, 0), (0, 0)))
    inputs['crop2'] = inputs['crop2'] + 1
    samples['crop1'][1].set_metainfo(dict(iou_in_range=False))
    logs = model.loss_unlabeled(gather(inputs, samples))
    assert 'negative_precision' not in logs
    assert logs['iou_out_of_range'] == 1

    _, label, confidence = embed(model, torch.cat([inputs['crop1'], inputs['crop2']]))
    assert logs['confidence'].item() == pytest.approx(confidence.mean().item())
    assert logs['active_anchors'] == 0.5  # of two unequal confidences one is lower
    model.contrast.pos_threshold = threshold = confidence.median().item()
    own, other = confidence.flatten(), confidence.roll(2, dims=0).flatten()
    active = (own < other) & (other > threshold)

    true = torch.randint(0, 3, (4, 4)).repeat_interleave(STRIDE, 0).repeat_interleave(STRIDE, 1)
    true[:STRIDE] = unknown
    for sample in (*samples['crop1'], *samples['crop2']):
        sample.true_label.data = true[None]
    logs = model.loss_unlabeled(gather(inputs, samples))
    assert logs['active_anchors'].item() == pytest.approx(active.double().mean().item())
    truth, label = true[::STRIDE, ::STRIDE].flatten().repeat(4), label.flatten()
    different = (label[active][:, None] != label) if sampling else torch.ones(int(active.sum()), len(label)).bool()
    different &= (truth[active][:, None] != unknown) & (truth != unknown)
    right = (truth[active][:, None] != truth)[different].double().mean()
    assert logs['negative_precision'].item() == pytest.approx(right.item())


def test_a_head_of_one_channel_has_two_pseudo_labels_and_their_confidence():
    model = build(binary())
    image = torch.randn(2, 3, SIZE, SIZE, dtype=torch.float64)
    feature = features_before_classifier(model.student, image)
    prob = model.student.decode_head.conv_seg(feature)[:, 0].sigmoid()
    _, label, confidence = embed(model, image)
    assert torch.equal(label, (prob > 0.5).long())
    torch.testing.assert_close(confidence.double(), torch.maximum(prob, 1 - prob), rtol=1e-5, atol=0)
    model.contrast.pos_threshold = 0.0
    assert model.loss_unlabeled(gather(*make_views()))['active_anchors'] > 0


@pytest.mark.parametrize('options', [
    dict(projector=None), dict(contrast=dict(type='FeatureL2Loss')), dict(contrast=dict(
        type='DirectionalContrastiveLoss', directional=False, negative_sampling=False, pos_threshold=0.0)),
])  # fmt: skip
@pytest.mark.parametrize('segmentor', [tiny_segmentor, cascade, pidnet])
def test_rows_of_the_ablation_take_a_step_with_any_kind_of_head(segmentor, options):
    model = build(segmentor(), **options)
    if segmentor is pidnet:
        views = gather(*make_views(offsets=((0, 0), (0, 32)), size=64, flips=(None, None)))
    else:
        views = gather(*make_views())
    logs = model.loss_unlabeled(views)
    loss = logs[model.contrast.loss_name]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.student.parameters())
    if model.projector is not None:
        assert all(p.grad is not None for p in model.projector.parameters())
    assert all(module.training for module in model.student.modules())


def test_the_projector_gets_a_zero_gradient_while_only_labels_are_trained_on():
    model = build(unsup_start=10)
    image = torch.randn(2, 3, SIZE, SIZE, dtype=torch.float64)
    label = torch.zeros(1, SIZE, SIZE, dtype=torch.long)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for _ in image]
    inputs, data_samples = make_views()
    total, _ = model.parse_losses(model.loss(dict(inputs, labeled=image), dict(data_samples, labeled=samples)))
    total.backward()
    assert all(not p.grad.any() for p in model.projector.parameters())


def test_prediction_and_export_know_nothing_of_projector_and_bank():
    model = build().eval()
    assert not [name for name in model.teacher.state_dict() if 'projector' in name or 'bank' in name]
    names = [name for name, _ in model.named_parameters()]
    assert names[0].startswith('backbone')
    assert names[-1].startswith('projector')


@pytest.mark.parametrize(('options', 'message'), [
    (dict(projector=dict(type='Projector', in_channels=7)), "in_channels=7, but the decode head's classifier takes 8"),
    (dict(stride=0), 'must be positive'),
])  # fmt: skip
def test_what_does_not_fit_is_refused_when_built(options, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='ContextAwareConsistency', segmentor=tiny_segmentor(), **options))


def test_pictures_show_the_student_s_own_labels():
    model = build()
    images, samples = torch.randn(2, 3, SIZE, SIZE, dtype=torch.float64), [SegDataSample(), SegDataSample()]
    views = UnlabeledViews.gather(dict(crop1=images), dict(crop1=samples))
    image, target = model.student_input(views)
    student, teacher = (
        model.seg_logits(network, image).argmax(dim=1) for network in (model.eval().student, model.teacher)
    )
    assert torch.equal(target.label, student)
    assert not torch.equal(target.label, teacher)


def test_a_stride_that_the_features_cannot_be_pooled_to_is_refused():
    model = build()
    model.stride = 6
    with pytest.raises(ValueError, match=r'features of \(4, 4\), which cannot be pooled to stride=6'):
        embed(model, torch.randn(2, 3, SIZE, SIZE, dtype=torch.float64))


def test_crops_that_the_preprocessor_pads_are_refused():
    inputs, samples = make_views()
    for sample in samples['crop2']:
        sample.set_metainfo(dict(img_shape=(24, 24)))
    with pytest.raises(ValueError, match=r'crops of \(24, 24\) pixels are padded to \(32, 32\)'):
        build().cells(gather(inputs, samples))
