import pytest
import torch

from mmseg_semi.models import Prediction, PseudoLabelCrossEntropyLoss, Target, pseudo_label_cross_entropy


def inputs(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    student, teacher = 3 * torch.randn(2, 3, 5, 7, 6, dtype=torch.float64, generator=generator)
    valid = torch.rand(3, 7, 6, generator=generator) > 0.3
    return student.to(dtype).requires_grad_(), teacher.to(dtype), valid


def test_value_and_gradient_are_those_of_the_plain_sum():
    student, teacher, valid = inputs()
    confidence, label = teacher.softmax(dim=1).max(dim=1)
    confident = confidence > 0.8
    loss = pseudo_label_cross_entropy(student, label, confident, valid)
    expected = 0
    for b, y, x in (confident & valid).nonzero():
        expected = expected - student[b, :, y, x].softmax(0)[label[b, y, x]].log()
    expected = expected / valid.sum()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(*torch.autograd.grad(loss, student), *torch.autograd.grad(expected, student))


@pytest.mark.parametrize('nothing', ['confident', 'valid'])
def test_no_pixel_gives_zero_with_a_graph(nothing):
    student, teacher, valid = inputs()
    masks = dict(confident=torch.ones_like(valid), valid=valid)
    masks[nothing] = torch.zeros_like(valid)
    loss = pseudo_label_cross_entropy(student, teacher.argmax(dim=1), **masks)
    assert loss == 0
    assert not torch.autograd.grad(loss, student)[0].any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    student, teacher, valid = inputs(dtype)
    with torch.autocast('cpu', torch.bfloat16):
        loss = pseudo_label_cross_entropy(student, teacher.argmax(dim=1), valid)
    torch.testing.assert_close(loss, pseudo_label_cross_entropy(student.float(), teacher.argmax(dim=1), valid))
    assert torch.autograd.grad(loss, student)[0].dtype == dtype


def test_the_module_counts_from_its_threshold_on():
    student, teacher, valid = inputs()
    target = Target(teacher, valid, region=torch.zeros_like(valid, dtype=torch.long))
    confidence, label = teacher.softmax(dim=1).max(dim=1)
    threshold = confidence.flatten().sort().values[60].item()
    loss = PseudoLabelCrossEntropyLoss(threshold - 1e-9, loss_weight=3.0)(Prediction(student), target)
    torch.testing.assert_close(loss, 3 * pseudo_label_cross_entropy(student, label, confidence >= threshold, valid))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(label=torch.zeros(3, 7, 6)), "'label' must be a tensor of integer type"),
        (dict(confident=torch.zeros(3, 7, 5, dtype=torch.bool)), "'confident' must be .* shape \\(3, 7, 6\\)"),
        (dict(valid=torch.zeros(3, 7, 6)), "'valid' must be a tensor of bool type"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    student, teacher, valid = inputs()
    arguments = dict(student_logits=student, label=teacher.argmax(dim=1), confident=valid)
    with pytest.raises(ValueError, match=message):
        pseudo_label_cross_entropy(**{**arguments, **change})


def test_a_threshold_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match=r"'threshold' must be a number in \[0, 1\], but is 1\.5"):
        PseudoLabelCrossEntropyLoss(threshold=1.5)
