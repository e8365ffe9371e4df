import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.models.losses import pixel_consistency_loss
from mmseg_semi.models.prediction import Prediction, Target


def probabilities(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).softmax(1).to(dtype)


def test_it_is_equation_4():
    student, teacher = probabilities(2, 5, 4, 6), probabilities(2, 5, 4, 6, seed=1)
    total = 0.0
    for b in range(2):
        for y in range(4):
            for x in range(6):
                total += sum((student[b, c, y, x] - teacher[b, c, y, x]) ** 2 for c in range(5))
    torch.testing.assert_close(pixel_consistency_loss(student, teacher), total / (2 * 4 * 6))


def test_the_mean_is_over_valid_pixels_only():
    student, teacher = probabilities(2, 5, 4, 6), probabilities(2, 5, 4, 6, seed=1)
    valid = torch.zeros(2, 4, 6, dtype=torch.bool)
    valid[0, :2] = True
    expected = pixel_consistency_loss(student[:1, :, :2], teacher[:1, :, :2])
    torch.testing.assert_close(pixel_consistency_loss(student, teacher, valid), expected)


@pytest.mark.parametrize('batch', [0, 2])
def test_without_a_valid_pixel_loss_and_gradient_are_zero(batch):
    student = probabilities(batch, 5, 4, 6).requires_grad_()
    valid = torch.zeros(batch, 4, 6, dtype=torch.bool)
    loss = pixel_consistency_loss(student, probabilities(batch, 5, 4, 6, seed=1), valid)
    loss.backward()
    assert loss.item() == 0
    assert (student.grad == 0).all()


def test_its_gradient_is_right_and_none_reaches_the_teacher():
    student = probabilities(2, 3, 2, 3).requires_grad_()
    teacher = probabilities(2, 3, 2, 3, seed=1).requires_grad_()
    valid = torch.rand(2, 2, 3) > 0.3
    assert torch.autograd.gradcheck(lambda s: pixel_consistency_loss(s, teacher, valid), student)
    pixel_consistency_loss(student, teacher).backward()
    assert teacher.grad is None


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_also_under_autocast(dtype):
    student = probabilities(2, 5, 8, 8, dtype=dtype).requires_grad_()
    teacher = probabilities(2, 5, 8, 8, seed=1, dtype=dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = pixel_consistency_loss(student, teacher)
    loss.backward()
    assert loss.dtype == torch.float32
    assert student.grad.dtype == dtype
    assert loss == pixel_consistency_loss(student.float(), teacher.float())


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        (dict(student_prob=torch.rand(5, 8, 8)), r"'student_prob'.*\(B, C, H, W\).*\(5, 8, 8\)"),
        (dict(student_prob=torch.ones(2, 5, 8, 8, dtype=torch.long)), "'student_prob'.*floating.*int64"),
        (dict(teacher_prob=torch.rand(2, 4, 8, 8)), r"'teacher_prob'.*\(2, 5, 8, 8\).*\(2, 4, 8, 8\)"),
        (dict(valid=torch.ones(2, 8, 7, dtype=torch.bool)), r"'valid'.*\(2, 8, 8\).*\(2, 8, 7\)"),
        (dict(valid=torch.ones(2, 8, 8)), "'valid'.*bool.*float32"),
        (dict(teacher_prob=None), "'teacher_prob'.*NoneType"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(arguments, named):
    fitting = dict(student_prob=torch.rand(2, 5, 8, 8), teacher_prob=torch.rand(2, 5, 8, 8))
    with pytest.raises(ValueError, match=named):
        pixel_consistency_loss(**{**fitting, **arguments})


def test_the_module_weighs_the_loss_of_a_prediction_and_its_target():
    student = Prediction(torch.randn(2, 5, 8, 8))
    valid = torch.rand(2, 8, 8) > 0.5
    region = torch.zeros(2, 8, 8, dtype=torch.long)
    target = Target(torch.randn(2, 5, 8, 8), valid=valid, region=region)
    module = MODELS.build(dict(type='PixelConsistencyLoss', loss_weight=20.0))
    torch.testing.assert_close(module(student, target), 20 * pixel_consistency_loss(student.prob, target.prob, valid))
    assert module.loss_name == 'loss_pixel_consistency'
    assert MODELS.build(dict(type='PixelConsistencyLoss', loss_name='loss_c')).loss_name == 'loss_c'
