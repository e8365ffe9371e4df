import math

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.models.losses import StructuredConsistencyLoss, structured_consistency_loss
from mmseg_semi.models.prediction import Prediction, Target


def probabilities(*shape, seed=0, dtype=torch.float64, scale=2.0):
    logits = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (scale * logits).softmax(1).to(dtype)


def boxes(batch=2, height=12, width=14):
    """Paste four boxes: the second covers the first whole in image 0, the fourth has one pixel in image 1."""
    region = torch.zeros(batch, height, width, dtype=torch.long)
    region[0, 1:4, 1:4] = 1
    region[0, 0:5, 0:6] = 2
    region[0, 3:9, 4:11] = 3
    region[0, 8:11, 0:7] = 4
    if batch > 1:
        region[1, 2:9, 2:6] = 1
        region[1, 0:4, 8:13] = 2
        region[1, 6:12, 5:9] = 3
        region[1, 7, 7] = 4
    return region


def cosine(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True)) / math.sqrt(sum(p * p for p in a) * sum(q * q for q in b))


def reference(student, teacher, region, num_boxes, num_regions, valid=None):
    """Equation 8 over the last boxes, one pair after the other."""
    total, valid = 0.0, region >= 0 if valid is None else valid
    for s, t, r, v, last in zip(student, teacher, region, valid, num_regions, strict=True):
        for number in range(last - num_boxes + 1, last + 1):
            shown = ((r == number) & v).nonzero().tolist() if number > 0 else []
            vectors = [(s[:, y, x].tolist(), t[:, y, x].tolist()) for y, x in shown]
            errors = [(cosine(si, sj) - cosine(ti, tj)) ** 2 for si, ti in vectors for sj, tj in vectors]
            total += sum(errors) / len(errors) if errors else 0.0
    return total / len(student)


@pytest.mark.parametrize('num_pairs', [None, 10**4], ids=['all pairs', 'no more pairs than are drawn'])
@pytest.mark.parametrize('num_boxes', [1, 3, 16])
def test_it_is_equation_8_over_the_last_boxes(num_boxes, num_pairs):
    student, teacher, region = probabilities(2, 5, 12, 14), probabilities(2, 5, 12, 14, seed=1), boxes()
    loss = structured_consistency_loss(student, teacher, region, num_boxes, num_pairs)
    assert loss.item() == pytest.approx(reference(student, teacher, region, num_boxes, (4, 4)), rel=1e-12)


@pytest.mark.parametrize('num_pairs', [None, 10**4])
def test_invalid_pixels_belong_to_no_box(num_pairs):
    student, teacher, region = probabilities(2, 5, 12, 14), probabilities(2, 5, 12, 14, seed=1), boxes()
    valid = torch.rand(2, 12, 14, generator=torch.Generator().manual_seed(2)) > 0.4
    loss = structured_consistency_loss(student, teacher, region, 3, num_pairs, valid)
    assert loss.item() == pytest.approx(reference(student, teacher, region, 3, (4, 4), valid), rel=1e-12)


@pytest.mark.parametrize('num_regions', [6, (5, 6), torch.tensor([5, 6])])
def test_num_regions_counts_the_boxes_that_are_covered_whole(num_regions):
    student, teacher, region = probabilities(2, 5, 12, 14), probabilities(2, 5, 12, 14, seed=1), boxes()
    counts = (6, 6) if isinstance(num_regions, int) else (5, 6)
    loss = structured_consistency_loss(student, teacher, region, 3, None, num_regions=num_regions)
    assert loss.item() == pytest.approx(reference(student, teacher, region, 3, counts), rel=1e-12)
    assert loss.item() != pytest.approx(reference(student, teacher, region, 3, (4, 4)))


def test_a_region_of_any_integer_type_will_do():
    student, teacher, region = probabilities(2, 5, 12, 14), probabilities(2, 5, 12, 14, seed=1), boxes()
    loss = structured_consistency_loss(student, teacher, region, num_pairs=None)
    for dtype in (torch.uint8, torch.int32):
        assert structured_consistency_loss(student, teacher, region.to(dtype), num_pairs=None) == loss


def test_boxes_of_more_pixels_than_a_block_are_summed_whole():
    student, teacher = probabilities(1, 7, 30, 40), probabilities(1, 7, 30, 40, seed=1)
    region = torch.ones(1, 30, 40, dtype=torch.long)
    region[:, 10:, 5:] = 2
    expected = 0.0
    for number in (1, 2):
        s, t = (torch.nn.functional.normalize(p[0][:, region[0] == number], dim=0) for p in (student, teacher))
        expected += (s.T @ s - t.T @ t).square().mean()
    torch.testing.assert_close(structured_consistency_loss(student, teacher, region, num_pairs=None), expected)


def test_drawn_pairs_have_the_expectation_of_all_pairs_and_so_do_their_gradients():
    student, teacher, region = probabilities(2, 5, 12, 14), probabilities(2, 5, 12, 14, seed=1), boxes()
    student.requires_grad_()

    def loss(copies, num_pairs):
        maps = (tensor.repeat(copies, 1, 1, 1) for tensor in (student, teacher))
        generator = torch.Generator().manual_seed(0)
        return structured_consistency_loss(*maps, region.repeat(copies, 1, 1), num_pairs=num_pairs, generator=generator)

    drawn, exact = loss(2000, 7), loss(1, None)
    assert drawn.item() == pytest.approx(exact.item(), rel=0.02)
    gradient, expected = (torch.autograd.grad(value, student)[0] for value in (drawn, exact))
    assert (gradient - expected).norm() < 0.1 * expected.norm()


@pytest.mark.parametrize('num_pairs', [1, 5, 100])
def test_every_pair_of_a_box_is_equally_likely(num_pairs):
    # No two pixels are alike to the student, all are to the teacher: each pair with i != j adds 1.
    images = 20000
    student = torch.eye(4).requires_grad_()
    teacher = torch.full((images, 4, 1, 4), 0.25)
    maps = student.t()[None, :, None].expand(images, 4, 1, 4)
    generator = torch.Generator().manual_seed(0)
    region = torch.ones(images, 1, 4, dtype=torch.long)
    loss = structured_consistency_loss(maps, teacher, region, 1, num_pairs, generator=generator)
    assert loss.item() == pytest.approx(12 / 16, abs=0.02)
    of_pairs = torch.autograd.grad(loss, student)[0][~torch.eye(4, dtype=torch.bool)]
    expected = 2 * -2 / 16  # the derivative of (s_i . s_j - 1)^2 by s_i, from the pairs (i, j) and (j, i)
    torch.testing.assert_close(of_pairs, torch.full_like(of_pairs, expected), atol=0.02, rtol=0)


def test_at_most_num_pairs_pairs_of_a_box_are_drawn():
    student = probabilities(1, 5, 20, 20).requires_grad_()
    structured_consistency_loss(
        student, probabilities(1, 5, 20, 20, seed=1), torch.ones(1, 20, 20).long(), 1, 6
    ).backward()
    touched = (student.grad != 0).any(dim=1).sum().item()
    assert 1 < touched <= 12


def test_the_generator_decides_the_pairs():
    student, teacher, region = probabilities(2, 5, 12, 14), probabilities(2, 5, 12, 14, seed=1), boxes()

    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        return structured_consistency_loss(student, teacher, region, num_pairs=9, generator=generator)

    state = torch.get_rng_state()
    assert draw(0) == draw(0)
    assert draw(0) != draw(1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(3)
    first = structured_consistency_loss(student, teacher, region, num_pairs=9)
    torch.manual_seed(3)
    assert structured_consistency_loss(student, teacher, region, num_pairs=9) == first


@pytest.mark.parametrize('num_pairs', [None, 9, 9000])
def test_its_gradient_is_right_and_none_reaches_the_teacher(num_pairs):
    student = probabilities(2, 3, 4, 4).requires_grad_()
    teacher = probabilities(2, 3, 4, 4, seed=1).requires_grad_()
    region = torch.zeros(2, 4, 4, dtype=torch.long)
    region[:, :3, :2] = 1
    region[0, 2:, 1:] = 2

    def loss(prob):
        generator = torch.Generator().manual_seed(0)
        return structured_consistency_loss(prob, teacher, region, 2, num_pairs, generator=generator)

    assert torch.autograd.gradcheck(loss, student)
    loss(student).backward()
    assert teacher.grad is None
    assert (student.grad[(region == 0)[:, None].expand_as(student)] == 0).all()


@pytest.mark.parametrize('num_pairs', [None, 9000])
@pytest.mark.parametrize('noise', [1.0, 1e-2])
def test_float32_gradients_agree_with_float64_to_four_digits(num_pairs, noise):
    torch.manual_seed(0)
    logits = torch.randn(2, 19, 64, 64, dtype=torch.float64)
    student, teacher = logits.softmax(1), (logits + noise * torch.randn_like(logits)).softmax(1)
    region = torch.zeros(2, 64, 64, dtype=torch.long)
    region[:, 4:40, 4:40] = 1
    region[:, 30:60, 20:60] = 2

    def gradient(dtype):
        prob = student.detach().to(dtype).requires_grad_()
        generator = torch.Generator().manual_seed(0)
        target = teacher.to(dtype)
        structured_consistency_loss(prob, target, region, 16, num_pairs, generator=generator).backward()
        return prob.grad.double()

    exact = gradient(torch.float64)
    assert (gradient(torch.float32) - exact).norm() < 1e-4 * exact.norm()


@pytest.mark.parametrize('num_pairs', [None, 5, 9000])
def test_equal_maps_have_zero_loss_and_zero_gradient(num_pairs):
    student = probabilities(2, 5, 12, 14, dtype=torch.float32).requires_grad_()
    loss = structured_consistency_loss(student, student.detach().clone(), boxes(), num_pairs=num_pairs)
    loss.backward()
    assert loss.item() == 0
    assert (student.grad == 0).all()


@pytest.mark.parametrize('num_pairs', [None, 9000])
@pytest.mark.parametrize('case', ['no box', 'nothing valid', 'boxes covered', 'no image'])
def test_without_a_pixel_to_compare_loss_and_gradient_are_zero(case, num_pairs):
    batch = 0 if case == 'no image' else 2
    student = probabilities(batch, 5, 6, 6).requires_grad_()
    region = torch.full((batch, 6, 6), 0 if case == 'no box' else 1)
    valid = torch.full((batch, 6, 6), case != 'nothing valid')
    num_regions = 20 if case == 'boxes covered' else None
    teacher = probabilities(batch, 5, 6, 6, seed=1)
    loss = structured_consistency_loss(student, teacher, region, 16, num_pairs, valid, num_regions)
    loss.backward()
    assert loss.item() == 0
    assert (student.grad == 0).all()


@pytest.mark.parametrize('num_pairs', [None, 9000])
def test_one_hot_vectors_and_a_single_pixel_have_finite_gradients(num_pairs):
    student = torch.nn.functional.one_hot(torch.randint(5, (2, 12, 14)), 5).permute(0, 3, 1, 2).float()
    student.requires_grad_()
    teacher = probabilities(2, 5, 12, 14, seed=1, dtype=torch.float32)
    structured_consistency_loss(student, teacher, boxes(), num_pairs=num_pairs).backward()
    assert student.grad.isfinite().all()


def test_a_map_in_another_memory_format_gives_the_same_loss_and_gradient():
    student, teacher, region = probabilities(2, 5, 12, 14), probabilities(2, 5, 12, 14, seed=1), boxes()
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        prob = student.clone(memory_format=memory_format).requires_grad_()
        loss = structured_consistency_loss(prob, teacher.clone(memory_format=memory_format), region, num_pairs=None)
        results.append((loss, torch.autograd.grad(loss, prob)[0]))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('num_pairs', [None, 9])
def test_half_precision_is_computed_in_float32_also_under_autocast(dtype, num_pairs):
    student = probabilities(2, 5, 12, 14, dtype=dtype).requires_grad_()
    teacher = probabilities(2, 5, 12, 14, seed=1, dtype=dtype)

    def loss(a, b):
        generator = torch.Generator().manual_seed(0)
        return structured_consistency_loss(a, b, boxes(), num_pairs=num_pairs, generator=generator)

    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = loss(student, teacher)
    half.backward()
    assert half.dtype == torch.float32
    assert student.grad.dtype == dtype
    assert half == loss(student.float(), teacher.float())


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        (dict(student_prob=torch.rand(5, 8, 8)), r"'student_prob'.*\(B, C, H, W\).*\(5, 8, 8\)"),
        (dict(teacher_prob=torch.rand(2, 5, 8, 4)), r"'teacher_prob'.*\(2, 5, 8, 8\).*\(2, 5, 8, 4\)"),
        (dict(region=torch.zeros(2, 1, 8, 8).long()), r"'region'.*\(2, 8, 8\).*\(2, 1, 8, 8\)"),
        (dict(region=torch.zeros(2, 8, 8)), "'region'.*integer.*float32"),
        (dict(region=torch.zeros(2, 8, 8).bool()), "'region'.*integer.*bool"),
        (dict(valid=torch.ones(8, 8).bool()), r"'valid'.*\(2, 8, 8\).*\(8, 8\)"),
        (dict(valid=torch.ones(2, 8, 8)), "'valid'.*bool.*float32"),
        (dict(num_boxes=0), "'num_boxes'.*0"),
        (dict(num_boxes=1.5), r"'num_boxes'.*1\.5"),
        (dict(num_boxes=None), "'num_boxes'.*None"),
        (dict(num_pairs=-1), "'num_pairs'.*-1"),
        (dict(num_regions=(1, 2, 3)), r"'num_regions'.*\(2\).*\(3,\)"),
        (dict(num_regions=2.0), "'num_regions'.*integer.*float32"),
        (dict(num_regions=1), r"'region' names box \[3, 3\].*'num_regions' is \[1, 1\]"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(arguments, named):
    fitting = dict(
        student_prob=torch.rand(2, 5, 8, 8),
        teacher_prob=torch.rand(2, 5, 8, 8),
        region=torch.full((2, 8, 8), 3),
    )
    with pytest.raises(ValueError, match=named):
        structured_consistency_loss(**{**fitting, **arguments})
    if arguments.keys() & {'num_boxes', 'num_pairs'}:  # long before there are predictions
        with pytest.raises(ValueError, match=named):
            StructuredConsistencyLoss(**arguments)


def test_the_module_weighs_the_loss_of_a_prediction_and_its_target():
    student = Prediction(torch.randn(2, 5, 12, 14))
    valid = torch.rand(2, 12, 14) > 0.3
    target = Target(torch.randn(2, 5, 12, 14), valid=valid, region=boxes())
    module = MODELS.build(dict(type='StructuredConsistencyLoss', num_boxes=4, num_pairs=None, loss_weight=3.0))
    expected = structured_consistency_loss(student.prob, target.prob, target.region, 4, None, valid)
    torch.testing.assert_close(module(student, target), 3 * expected)
    assert module.loss_name == 'loss_structured_consistency'


def test_the_module_has_the_papers_numbers():
    module = MODELS.build(dict(type='StructuredConsistencyLoss'))
    assert (module.num_boxes, module.num_pairs, module.loss_weight) == (16, 9000, 1.0)
