import pytest
import torch

from mmseg_semi.models import InterPixelLoss, Prediction, Target, inter_pixel_loss

MODES = ('kl', 'correlation')


def inputs(dtype=torch.float64, shape=(3, 5, 7, 6)):
    generator = torch.Generator().manual_seed(0)
    student, teacher = 3 * torch.randn(2, *shape, dtype=torch.float64, generator=generator)
    mask = torch.rand(shape[0], *shape[2:], generator=generator) > 0.4
    return student.to(dtype).requires_grad_(), teacher.to(dtype), mask


def reference(student, teacher, mask, mode, temperature=1.0):
    """One image and one class at a time."""
    total = 0
    for s, t, inside in zip(student, teacher, mask, strict=True):
        if inside.sum() < 2:
            continue
        for c in range(len(s)):
            if mode == 'kl':
                p = (s[c][inside] / temperature).softmax(0)
                q = (t[c][inside] / temperature).softmax(0)
                total = total + temperature**2 * (q * (q / p).log()).sum()
            else:
                pair = torch.stack([x.softmax(0)[c][inside] for x in (s, t)])
                total = total + 1 - torch.corrcoef(pair)[0, 1]
    return total / (student.shape[0] * student.shape[1])


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('temperature', [1.0, 2.5])
def test_value_and_gradient_are_those_of_the_plain_sum(mode, temperature):
    student, teacher, mask = inputs()
    loss = inter_pixel_loss(student, teacher, mask, mode, temperature)
    expected = reference(student, teacher, mask, mode, temperature)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(*torch.autograd.grad(loss, student), *torch.autograd.grad(expected, student))


@pytest.mark.parametrize('mode', MODES)
def test_a_second_derivative_is_refused(mode):
    student, teacher, mask = inputs()
    (gradient,) = torch.autograd.grad(inter_pixel_loss(student, teacher, mask, mode), student, create_graph=True)
    with pytest.raises(RuntimeError, match='cannot be differentiated twice'):
        torch.autograd.grad(gradient.sum(), student)


@pytest.mark.parametrize('mode', MODES)
def test_equal_maps_cost_nothing_and_an_offset_of_a_class_none_to_kl(mode):
    student, _, mask = inputs()
    assert inter_pixel_loss(student, student, mask, mode).abs() < 1e-12
    shifted = student + torch.arange(5.0, dtype=torch.float64)[:, None, None]
    if mode == 'kl':
        assert inter_pixel_loss(student, shifted, mask, mode).abs() < 1e-12


@pytest.mark.parametrize('mode', MODES)
def test_pixels_outside_the_mask_have_no_say_and_no_gradient(mode):
    student, teacher, mask = inputs()
    loss = inter_pixel_loss(student, teacher, mask, mode)
    (gradient,) = torch.autograd.grad(loss, student)
    assert not gradient.transpose(0, 1)[:, ~mask].any()
    assert gradient.transpose(0, 1)[:, mask].any()
    noise = torch.where(mask[:, None], 0, 50 * torch.randn_like(student))
    torch.testing.assert_close(inter_pixel_loss(student + noise, teacher - noise, mask, mode), loss)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('confident', [0, 1])
def test_an_image_with_fewer_than_two_confident_pixels_adds_zero(mode, confident):
    student, teacher, mask = inputs()
    mask[1] = False
    mask[1].flatten()[:confident] = True
    loss = inter_pixel_loss(student, teacher, mask, mode)
    torch.testing.assert_close(loss, reference(student, teacher, mask, mode))
    (gradient,) = torch.autograd.grad(loss, student)
    assert gradient.isfinite().all()
    assert not gradient[1].any()


@pytest.mark.parametrize('mode', MODES)
def test_no_confident_pixel_at_all_gives_zero_with_a_graph(mode):
    student, teacher, mask = inputs(torch.float32)
    loss = inter_pixel_loss(student, teacher, torch.zeros_like(mask), mode)
    assert loss == 0
    (gradient,) = torch.autograd.grad(loss, student)
    assert not gradient.any()


@pytest.mark.parametrize('constant', ['student', 'teacher'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_a_constant_map_adds_zero_to_the_correlation(constant, dtype):
    student, teacher, mask = inputs(dtype)
    with torch.no_grad():
        flat = torch.tensor([0.3, 0.1, -0.7, 1.9, 0.0], dtype=dtype)[:, None, None]
        (student if constant == 'student' else teacher)[0] = flat
    loss = inter_pixel_loss(student, teacher, mask, 'correlation')
    torch.testing.assert_close(loss, reference(student[1:], teacher[1:], mask[1:], 'correlation') * 2 / 3)
    (gradient,) = torch.autograd.grad(loss, student)
    assert gradient.isfinite().all()
    assert not gradient[0].any()


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(mode, dtype):
    student, teacher, mask = inputs(dtype)
    with torch.autocast('cpu', torch.bfloat16):
        loss = inter_pixel_loss(student, teacher, mask, mode)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, inter_pixel_loss(student.float(), teacher.float(), mask, mode))
    (gradient,) = torch.autograd.grad(loss, student)
    assert gradient.dtype == dtype


@pytest.mark.parametrize('mode', MODES)
def test_extreme_logits_stay_finite(mode):
    student, teacher, mask = inputs(torch.float32)
    for factor in (1e-6, 1e4):
        loss = inter_pixel_loss(factor * student, factor * teacher, mask, mode)
        (gradient,) = torch.autograd.grad(loss, student)
        assert loss.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize('mode', MODES)
def test_float32_keeps_the_digits_on_a_large_map(mode):
    student, teacher, mask = inputs(torch.float32, shape=(1, 3, 300, 300))
    loss = inter_pixel_loss(student, teacher, mask, mode)
    exact = inter_pixel_loss(student.double(), teacher.double(), mask, mode)
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(teacher_logits=torch.zeros(3, 5, 7, 7)), r"'teacher_logits' must be .* shape \(3, 5, 7, 6\)"),
        (dict(mask=torch.ones(3, 7, 6)), "'mask' must be a tensor of bool type"),
        (dict(mode='cosine'), "'mode' must be one of .* but is 'cosine'"),
        (dict(temperature=0), "'temperature' must be above 0"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    student, teacher, mask = inputs()
    arguments = dict(student_logits=student, teacher_logits=teacher, mask=mask)
    with pytest.raises(ValueError, match=message):
        inter_pixel_loss(**{**arguments, **change})


@pytest.mark.parametrize('mode', MODES)
def test_the_module_takes_the_confident_and_valid_pixels_of_the_target(mode):
    student, teacher, valid = inputs()
    target = Target(teacher, valid, region=torch.zeros_like(valid, dtype=torch.long))
    mask = valid & (teacher.softmax(dim=1).amax(dim=1) >= 0.8)
    assert 0 < mask.sum() < valid.sum()
    loss = InterPixelLoss(mode, temperature=2.0, threshold=0.8, loss_weight=0.5)(Prediction(student), target)
    torch.testing.assert_close(loss, 0.5 * inter_pixel_loss(student, teacher, mask, mode, 2.0))


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (dict(threshold=95), r"'threshold' must be a number in \[0, 1\], but is 95"),
        (dict(mode='cosine'), "'mode' must be one of .* but is 'cosine'"),
        (dict(temperature=0), "'temperature' must be above 0"),
    ],
)
def test_the_module_refuses_what_is_out_of_range_when_it_is_built(option, message):
    with pytest.raises(ValueError, match=message):
        InterPixelLoss(**option)
