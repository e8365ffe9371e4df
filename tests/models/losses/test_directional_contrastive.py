import math

import pytest
import torch
from mmseg.registry import MODELS
from torch.utils.flop_counter import FlopCounterMode

from mmseg_semi.models.losses import (
    DirectionalContrastiveLoss,
    directional_contrastive,
    directional_contrastive_loss,
    feature_l2_loss,
)


def problem(n=9, negatives=14, channels=5, classes=3, seed=0, dtype=torch.float64, ids=False):
    """Arguments by name, features of any length."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2 * n + negatives, channels, generator=generator, dtype=torch.float64)
    features = (3 * torch.rand(len(features), 1, generator=generator) * features).to(dtype)
    conf = torch.rand(2, n, generator=generator, dtype=torch.float64).sqrt().to(dtype)
    arguments = dict(
        anchor=features[:n].clone().requires_grad_(),
        positive=features[n : 2 * n],
        anchor_conf=conf[0],
        positive_conf=conf[1],
        anchor_label=torch.randint(classes, (n,), generator=generator),
        negatives=features[2 * n :],
        negative_label=torch.randint(classes, (negatives,), generator=generator),
    )
    if ids:
        arguments['anchor_id'] = torch.arange(n) + 100
        arguments['negative_id'] = torch.randint(98, 104, (negatives,), generator=generator)
    return arguments


def cosine(a, b):
    return (a @ b) / (a.norm() * b.norm())


def reference(
    anchor, positive, anchor_conf, positive_conf, anchor_label, negatives, negative_label, temperature=0.1,
    pos_threshold=0.75, directional=True, normalize='positives', anchor_id=None, negative_id=None,
):  # fmt: skip
    """Equation 6, one pixel and one negative after the other; autograd gives its gradient."""
    total, number = 0.0 * anchor.sum(), 0
    for i in range(len(anchor)):
        if not positive_conf[i] > pos_threshold or (directional and not anchor_conf[i] < positive_conf[i]):
            continue
        number += 1
        r = torch.exp(cosine(anchor[i], positive[i]) / temperature)
        denominator = r
        for j in range(len(negatives)):
            same_place = anchor_id is not None and anchor_id[i] == negative_id[j]
            if negative_label[j] != anchor_label[i] and not same_place:
                denominator = denominator + torch.exp(cosine(anchor[i], negatives[j]) / temperature)
        total = total - torch.log(r / denominator)
    return total / max(number if normalize == 'positives' else len(anchor), 1)


def value_and_gradient(loss, arguments, **options):
    value = loss(**arguments, **options)
    return value.detach(), torch.autograd.grad(value, arguments['anchor'])[0]


@pytest.mark.parametrize('ids', [False, True])
@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(directional=False),
        dict(pos_threshold=0.0),
        dict(directional=False, pos_threshold=0.0),
        dict(normalize='all'),
        dict(temperature=0.01),
        dict(temperature=2.0, pos_threshold=0.5),
    ],
    ids=str,
)
def test_it_is_equation_6_in_value_and_gradient(options, ids):
    for seed in range(4):
        arguments = problem(seed=seed, ids=ids)
        expected = value_and_gradient(reference, arguments, **options)
        torch.testing.assert_close(value_and_gradient(directional_contrastive_loss, arguments, **options), expected)


def test_blocks_set_the_memory_and_not_the_result(monkeypatch):
    arguments = problem(40, 30, ids=True)
    expected = value_and_gradient(directional_contrastive_loss, arguments)
    for block in (1, 31, 100):
        monkeypatch.setitem(directional_contrastive._BLOCK, 'cpu', block)
        torch.testing.assert_close(value_and_gradient(directional_contrastive_loss, arguments), expected)


def test_no_block_holds_more_similarities_than_it_may(monkeypatch):
    monkeypatch.setitem(directional_contrastive._BLOCK, 'cpu', 2**14)
    arguments = problem(2000, 2000, 2, ids=True, dtype=torch.float32)

    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **kwargs or {})
            if isinstance(out, torch.Tensor):
                self.size = max(self.size, out.numel())
            return out

    with Largest() as largest:
        directional_contrastive_loss(**arguments).backward()
    assert 2**13 < largest.size <= 2**14


def test_similarities_are_computed_once_and_only_of_anchors_and_negatives_that_count():
    arguments = problem(60, 90, 16, dtype=torch.float32)
    counts = (arguments['anchor_conf'] < arguments['positive_conf']) & (arguments['positive_conf'] > 0.75)
    pairs = (arguments['anchor_label'][counts][:, None] != arguments['negative_label']).sum().item()
    with FlopCounterMode(display=False) as flops:
        loss = directional_contrastive_loss(**arguments)
    # One product gives the similarities, one their weighted mean, which is the gradient.
    assert flops.get_total_flops() == 2 * 2 * 16 * pairs
    with FlopCounterMode(display=False) as flops:
        loss.backward()
    assert flops.get_total_flops() == 0


def test_only_anchors_receive_a_gradient_and_only_those_that_count():
    arguments = problem(30)
    others = [arguments[name].requires_grad_() for name in ('positive', 'negatives', 'anchor_conf', 'positive_conf')]
    directional_contrastive_loss(**arguments).backward()
    assert [value.grad for value in others] == [None] * 4
    conf, target = arguments['anchor_conf'], arguments['positive_conf']
    counts = (conf < target) & (target > 0.75)
    assert 0 < counts.sum() < 30
    assert torch.equal((arguments['anchor'].grad != 0).any(dim=1), counts)


def test_equal_confidences_and_confidences_at_the_threshold_do_not_count():
    arguments = problem(3)
    arguments.update(anchor_conf=torch.tensor([0.9, 0.1, 0.1]), positive_conf=torch.tensor([0.9, 0.75, 0.8]))
    directional_contrastive_loss(**arguments).backward()
    assert (arguments['anchor'].grad != 0).any(dim=1).tolist() == [False, False, True]


def test_the_length_of_a_feature_does_not_matter():
    arguments = problem()
    scaled = {name: 7 * value if name in ('anchor', 'positive', 'negatives') else value
              for name, value in arguments.items()}  # fmt: skip
    torch.testing.assert_close(directional_contrastive_loss(**scaled), directional_contrastive_loss(**arguments))


def test_its_gradient_passes_gradcheck_and_a_second_derivative_is_refused():
    arguments = problem(6, 8, ids=True)
    anchor = arguments.pop('anchor')

    def loss(anchor):
        return directional_contrastive_loss(anchor, **arguments, temperature=0.5, pos_threshold=0.2)

    assert torch.autograd.gradcheck(loss, anchor)
    (gradient,) = torch.autograd.grad(loss(anchor), anchor, create_graph=True)
    with pytest.raises(RuntimeError, match='cannot be differentiated twice'):
        torch.autograd.grad(gradient.sum(), anchor)


def test_it_is_stable_at_a_temperature_of_a_hundredth():
    arguments = problem(50, 80, 16, dtype=torch.float32, ids=True)
    exact = {name: value.detach().double() if value.is_floating_point() else value
             for name, value in arguments.items()}  # fmt: skip
    exact['anchor'].requires_grad_()
    value, gradient = value_and_gradient(directional_contrastive_loss, arguments, temperature=0.01)
    expected, expected_gradient = value_and_gradient(directional_contrastive_loss, exact, temperature=0.01)
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)
    assert (gradient - expected_gradient).norm() < 1e-4 * expected_gradient.norm()


@pytest.mark.parametrize('sign', [1, -1])
def test_extreme_similarities_are_finite(sign):
    axis = torch.eye(4)[:2].requires_grad_()
    conf, label = torch.tensor([[0.1, 0.1], [0.9, 0.9]]), torch.zeros(2).long()
    loss = directional_contrastive_loss(
        axis, sign * axis, *conf, label, -sign * axis.repeat(5, 1), torch.ones(10).long(), temperature=0.001
    )
    loss.backward()
    expected = 0.0 if sign > 0 else 2000 + math.log(5)
    assert loss.item() == pytest.approx(expected)
    assert axis.grad.isfinite().all()


@pytest.mark.parametrize('normalize', ['positives', 'all'])
@pytest.mark.parametrize(
    'case',
    ['no anchor', 'no negative', 'neither', 'no confident pixel', 'none less sure', 'one label', 'one place'],
)
def test_with_nothing_to_compare_loss_and_gradient_are_zero(case, normalize):
    n, number = 0 if case in ('no anchor', 'neither') else 9, 0 if case in ('no negative', 'neither') else 14
    arguments = problem(n, number)
    if case == 'no confident pixel':
        arguments['positive_conf'] = torch.full((n,), 0.75)
    if case == 'none less sure':
        arguments['anchor_conf'] = torch.ones(n)
    if case == 'one label':
        arguments.update(anchor_label=torch.full((n,), 3), negative_label=torch.full((number,), 3))
    if case == 'one place':
        arguments.update(anchor_id=torch.ones(n).long(), negative_id=torch.ones(number).long())
    loss = directional_contrastive_loss(**arguments, normalize=normalize)
    loss.backward()
    assert loss.item() == 0
    assert (arguments['anchor'].grad == 0).all()


def test_a_feature_of_zeros_is_like_no_other_and_hardly_moves():
    arguments = problem(4)
    with torch.no_grad():
        arguments['anchor'][0] = 0
        arguments['negatives'][0] = 0
    directional_contrastive_loss(**arguments, directional=False, pos_threshold=0.0).backward()
    assert arguments['anchor'].grad.abs().max() < 100


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_also_under_autocast(dtype):
    arguments = problem(30, dtype=dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half, gradient = value_and_gradient(directional_contrastive_loss, arguments, temperature=0.01)
    full = {name: value.float() if value.is_floating_point() else value for name, value in arguments.items()}
    assert half.dtype == torch.float32
    assert gradient.dtype == dtype
    assert half == directional_contrastive_loss(**full, temperature=0.01)


def test_negatives_from_a_bank_of_another_precision_will_do():
    arguments = problem(ids=True)
    bank = {**arguments, 'negatives': arguments['negatives'].float(), 'positive': arguments['positive'].float()}
    loss = directional_contrastive_loss(**bank)
    assert loss.dtype == torch.float64
    torch.testing.assert_close(loss, directional_contrastive_loss(**arguments), rtol=1e-5, atol=0)


def test_labels_and_ids_of_any_integer_type_will_do():
    arguments = problem(ids=True)
    types = dict(anchor_label=torch.uint8, negative_label=torch.int32, anchor_id=torch.int32)
    narrow = {**arguments, **{name: arguments[name].to(dtype) for name, dtype in types.items()}}
    assert directional_contrastive_loss(**narrow) == directional_contrastive_loss(**arguments)


def test_without_a_gradient_to_come_the_value_is_the_same():
    arguments = problem()
    with torch.no_grad():
        assert directional_contrastive_loss(**arguments) == directional_contrastive_loss(**problem())


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        (dict(anchor=torch.rand(9)), r"'anchor'.*\(n, D\).*\(9,\)"),
        (dict(positive=torch.rand(9, 4)), r"'positive'.*\(9, 5\).*\(9, 4\)"),
        (dict(anchor_conf=torch.rand(8)), r"'anchor_conf'.*\(9\).*\(8,\)"),
        (dict(positive_conf=torch.rand(9, 1)), r"'positive_conf'.*\(9\).*\(9, 1\)"),
        (dict(anchor_label=torch.rand(9)), "'anchor_label'.*integer.*float32"),
        (dict(negatives=torch.rand(14, 6)), r"'negatives'.*\(N, 5\).*\(14, 6\)"),
        (dict(negative_label=torch.zeros(9).long()), r"'negative_label'.*\(14\).*\(9,\)"),
        (dict(anchor_id=torch.arange(9)), "'anchor_id' and 'negative_id'"),
        (dict(negative_id=torch.arange(14)), "'anchor_id' and 'negative_id'"),
        (dict(anchor_id=torch.arange(8), negative_id=torch.arange(14)), r"'anchor_id'.*\(9\).*\(8,\)"),
        (dict(anchor_id=torch.arange(9), negative_id=torch.rand(14)), "'negative_id'.*integer.*float32"),
        (dict(temperature=0.0), r"'temperature'.*positive.*0\.0"),
        (dict(pos_threshold=75), r"'pos_threshold' must be a number in \[0, 1\], but is 75"),
        (dict(normalize='sum'), "'normalize'.*'sum'"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        directional_contrastive_loss(**{**problem(), **arguments})
    if arguments.keys() & {'temperature', 'pos_threshold', 'normalize'}:  # long before there are features
        with pytest.raises(ValueError, match=named):
            DirectionalContrastiveLoss(**arguments)


def test_the_module_weighs_the_loss_and_has_the_papers_numbers():
    arguments = problem(30, ids=True)
    module = MODELS.build(dict(type='DirectionalContrastiveLoss', loss_weight=0.1))
    torch.testing.assert_close(module(**arguments), 0.1 * directional_contrastive_loss(**arguments))
    assert module.loss_name == 'loss_dc'
    options = dict(temperature=0.2, pos_threshold=0.0, directional=False, normalize='all')
    module = MODELS.build(dict(type='DirectionalContrastiveLoss', **options))
    torch.testing.assert_close(module(**arguments), directional_contrastive_loss(**arguments, **options))


def test_without_negative_sampling_pixels_of_the_same_label_are_negatives_too():
    arguments = problem(30, ids=True)
    module = MODELS.build(dict(type='DirectionalContrastiveLoss', negative_sampling=False))
    other = {**arguments, 'negative_label': arguments['negative_label'] + 100}
    torch.testing.assert_close(module(**arguments), reference(**other))


def test_the_l2_loss_takes_the_place_of_the_contrastive_loss():
    arguments = problem(ids=True)
    positive = arguments['positive'].requires_grad_()
    module = MODELS.build(dict(type='FeatureL2Loss', loss_weight=2.0))
    loss = module(**arguments)
    cosines = [cosine(a, b).item() for a, b in zip(arguments['anchor'], positive, strict=True)]
    assert loss.item() == pytest.approx(2 * sum(2 - 2 * value for value in cosines) / len(cosines))
    loss.backward()
    assert positive.grad is None
    assert torch.autograd.gradcheck(lambda anchor: feature_l2_loss(anchor, positive), arguments['anchor'])
    assert module(*arguments.values()) == loss


def test_the_l2_loss_of_no_pixel_is_zero_and_a_misfit_is_named():
    anchor = torch.zeros(0, 5, requires_grad=True)
    loss = feature_l2_loss(anchor, torch.zeros(0, 5))
    loss.backward()
    assert loss.item() == 0
    with pytest.raises(ValueError, match=r"'positive'.*\(3, 5\).*\(3, 4\)"):
        feature_l2_loss(torch.rand(3, 5), torch.rand(3, 4))
