import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_semi.models.losses import boundary_relaxed_cross_entropy


def labels(classes=5, height=9, width=11, ignore_index=255, seed=0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(classes, (2, height, width), generator=generator)
    label[torch.rand(label.shape, generator=generator) < 0.3] = ignore_index
    label[0, :5, :5] = ignore_index
    return label


def reference(logits, label, window_size, ignore_index):
    """Equation 2, one pixel after the other."""
    prob, radius, losses = logits.double().softmax(1), window_size // 2, []
    for b, y, x in (label != ignore_index).nonzero().tolist():
        window = label[b, max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
        classes = set(window.flatten().tolist()) - {ignore_index}
        losses.append(-sum(prob[b, c, y, x] for c in classes).log())
    return torch.stack(losses).mean()


@pytest.mark.parametrize('ignore_index', [255, -100, 2])
@pytest.mark.parametrize('window_size', [1, 3, 5, 31])
def test_it_is_equation_2(window_size, ignore_index):
    logits, label = torch.randn(2, 5, 9, 11, dtype=torch.float64), labels(ignore_index=ignore_index)
    loss = boundary_relaxed_cross_entropy(logits, label, window_size, ignore_index)
    torch.testing.assert_close(loss, reference(logits, label, window_size, ignore_index))


def test_more_classes_than_bits_in_a_word_will_do():
    logits, label = torch.randn(2, 150, 9, 11, dtype=torch.float64), labels(classes=150)
    torch.testing.assert_close(boundary_relaxed_cross_entropy(logits, label), reference(logits, label, 3, 255))


def test_a_window_of_one_pixel_gives_plain_cross_entropy_and_its_gradient():
    logits, label = torch.randn(2, 5, 9, 11, requires_grad=True), labels()
    relaxed = boundary_relaxed_cross_entropy(logits, label, window_size=1)
    plain = F.cross_entropy(logits, label, ignore_index=255)
    torch.testing.assert_close(relaxed, plain)
    gradients = (torch.autograd.grad(loss, logits)[0] for loss in (relaxed, plain))
    torch.testing.assert_close(*gradients)


def test_its_gradient_is_right_also_through_the_classes_nearby():
    logits, label = torch.randn(2, 4, 5, 6, dtype=torch.float64, requires_grad=True), labels(4, 5, 6)
    assert torch.autograd.gradcheck(lambda x: boundary_relaxed_cross_entropy(x, label), logits)
    gradient = torch.autograd.grad(boundary_relaxed_cross_entropy(logits, label), logits)[0]
    torch.testing.assert_close(gradient, torch.autograd.grad(reference(logits, label, 3, 255), logits)[0])
    assert (gradient[(label == 255)[:, None].expand_as(gradient)] == 0).all()


def test_extreme_logits_give_a_finite_loss_and_gradient():
    logits = torch.zeros(1, 3, 1, 4)
    logits[:, 2] = 1000.0
    logits.requires_grad_()
    loss = boundary_relaxed_cross_entropy(logits, torch.tensor([[[0, 0, 1, 1]]]))
    loss.backward()
    expected = 1000 - torch.tensor([0.0, 2.0, 2.0, 0.0]).clamp(min=1).log().mean()
    torch.testing.assert_close(loss, expected)
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize('batch', [0, 2])
def test_without_a_label_loss_and_gradient_are_zero(batch):
    logits = torch.randn(batch, 5, 4, 4, requires_grad=True)
    loss = boundary_relaxed_cross_entropy(logits, torch.full((batch, 4, 4), 255))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_also_under_autocast(dtype):
    logits, label = torch.randn(2, 5, 9, 11).to(dtype).requires_grad_(), labels()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = boundary_relaxed_cross_entropy(logits, label)
    loss.backward()
    assert loss.dtype == torch.float32
    assert logits.grad.dtype == dtype
    assert loss == boundary_relaxed_cross_entropy(logits.float(), label)


def test_a_label_of_any_integer_type_will_do():
    logits, label = torch.randn(2, 5, 9, 11), labels()
    loss = boundary_relaxed_cross_entropy(logits, label)
    for dtype in (torch.uint8, torch.int32):
        assert boundary_relaxed_cross_entropy(logits, label.to(dtype)) == loss


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        (dict(logits=torch.randn(2, 5, 8)), r"'logits'.*\(B, C, H, W\).*\(2, 5, 8\)"),
        (dict(label=torch.zeros(2, 1, 8, 8).long()), r"'label'.*\(2, 8, 8\).*\(2, 1, 8, 8\)"),
        (dict(label=torch.zeros(2, 8, 8)), "'label'.*integer.*float32"),
        (dict(label=torch.full((2, 8, 8), 5)), r"'label' of shape \(2, 8, 8\) names a class beyond the 5"),
        (dict(label=torch.full((2, 8, 8), -1)), "'label'.*beyond the 5"),
        (dict(window_size=4), "'window_size' must be odd.*4"),
        (dict(window_size=0), "'window_size'.*0"),
        (dict(window_size=3.0), r"'window_size'.*3\.0"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(arguments, named):
    fitting = dict(logits=torch.randn(2, 5, 8, 8), label=torch.zeros(2, 8, 8).long())
    with pytest.raises(ValueError, match=named):
        boundary_relaxed_cross_entropy(**{**fitting, **arguments})


def test_a_window_without_a_centre_is_refused_when_the_module_is_built():
    with pytest.raises(ValueError, match=r"'window_size' must be odd.*4"):
        MODELS.build(dict(type='BoundaryRelaxedCrossEntropyLoss', window_size=4))


def test_the_module_weighs_pixels_and_keeps_the_mean_over_labelled_ones():
    logits, label, weight = torch.randn(2, 5, 9, 11), labels(), torch.rand(2, 9, 11)
    module = MODELS.build(dict(type='BoundaryRelaxedCrossEntropyLoss', loss_weight=0.4))
    pixel = module(logits, label, reduction_override='none')
    torch.testing.assert_close(module(logits, label), 0.4 * boundary_relaxed_cross_entropy(logits, label))
    torch.testing.assert_close(module(logits, label, weight), (pixel * weight).sum() / (label != 255).sum())
    torch.testing.assert_close(module(logits, label, weight, reduction_override='sum'), (pixel * weight).sum())
    assert pixel.shape == label.shape
    assert (pixel[label == 255] == 0).all()
    with pytest.raises(ValueError, match=r"'weight'.*\(2, 9, 11\).*\(2, 9\)"):
        module(logits, label, weight[:, :, 0])
    with pytest.raises(ValueError, match=r"'reduction_override'.*'median'"):
        module(logits, label, reduction_override='median')


@pytest.mark.parametrize('window_size', [1, 3])
def test_class_weights_are_those_of_the_pixels_own_labels(window_size):
    logits, label = torch.randn(2, 5, 9, 11, dtype=torch.float64), labels()
    options = dict(type='BoundaryRelaxedCrossEntropyLoss', window_size=window_size)
    class_weight = [0.5, 2.0, 0.0, 1.0, 4.0]
    module = MODELS.build(dict(**options, class_weight=class_weight))
    loss = module(logits, label)
    if window_size == 1:
        torch.testing.assert_close(
            loss, F.cross_entropy(logits, label, logits.new_tensor(class_weight), ignore_index=255)
        )
    pixel = MODELS.build(options)(logits, label, reduction_override='none')
    factor = torch.tensor([*class_weight, *[0.0] * 251], dtype=torch.float64)[label]
    torch.testing.assert_close(loss, (factor * pixel).sum() / factor.sum())
    assert module(logits, label.to(torch.uint8)) == loss
    assert module(logits, torch.full_like(label, 255)) == 0
    with pytest.raises(ValueError, match=r"'class_weight' has 2 entries.* 5 classes"):
        MODELS.build(dict(**options, class_weight=[1.0, 2.0]))(logits, label)


def decode_head(**kwargs):
    settings = dict(in_channels=8, channels=8, num_classes=5, num_convs=1, norm_cfg=dict(type='BN'))
    settings['loss_decode'] = dict(type='BoundaryRelaxedCrossEntropyLoss', window_size=3)
    return FCNHead(**{**settings, **kwargs})


def head_loss(head, label):
    samples = [SegDataSample(gt_sem_seg=PixelData(data=image[None])) for image in label]
    return head.loss([torch.randn(2, 8, 5, 6)], samples, train_cfg=None)


@pytest.mark.parametrize(
    'sampler',
    [
        None,
        dict(type='OHEMPixelSampler', thresh=0.7, min_kept=20),
        dict(type='OHEMPixelSampler', min_kept=20),
    ],
    ids=['no sampler', 'OHEM by confidence', 'OHEM by loss'],
)
def test_a_decode_head_trains_with_it(sampler):
    head = decode_head(sampler=sampler)
    losses = head_loss(head, labels())
    losses['loss_boundary_relaxed_ce'].backward()
    assert losses['loss_boundary_relaxed_ce'].item() > 0
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())
    assert head.conv_seg.weight.grad.abs().sum() > 0


def test_a_pixel_sampler_leaves_only_the_hard_pixels_in_the_sum():
    torch.manual_seed(0)
    head = decode_head(sampler=dict(type='OHEMPixelSampler', min_kept=20))
    logits, label = torch.randn(2, 5, 9, 11), labels()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=image[None])) for image in label]
    loss = head.loss_by_feat(logits, samples)['loss_boundary_relaxed_ce']
    hardest = head.loss_decode(logits, label, reduction_override='none').flatten().topk(2 * 20).values
    torch.testing.assert_close(loss, hardest.sum() / (label != 255).sum())


def test_a_head_of_one_output_channel_gets_one_clear_error():
    head = decode_head(num_classes=2, out_channels=1, threshold=0.5)
    with pytest.raises(ValueError, match=r'out_channels=1.*set out_channels=2'):
        head_loss(head, labels(classes=2))
