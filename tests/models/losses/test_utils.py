import pytest
import torch

from mmseg_semi.models.losses.utils import with_gradient


def cubes(rows, per_row):
    """Sums of cubes over each row or over all, with their gradient."""
    known = rows.detach()
    return with_gradient(rows, known.pow(3).sum(dim=1 if per_row else (0, 1)), 3 * known.square())


@pytest.mark.parametrize('per_row', [True, False])
def test_values_of_rows_and_of_the_whole_pass_gradcheck(per_row):
    rows = torch.randn(5, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: cubes(rows, per_row), rows)


@pytest.mark.parametrize('per_row', [True, False])
def test_a_second_derivative_is_refused_even_where_a_part_of_it_is_known(per_row):
    rows = torch.randn(5, 3, dtype=torch.float64).requires_grad_()
    value = cubes(rows, per_row).sum() + rows.square().sum()
    (gradient,) = torch.autograd.grad(value, rows, create_graph=True)
    with pytest.raises(RuntimeError, match='cannot be differentiated twice'):
        torch.autograd.grad(gradient.sum(), rows)
