"""What the losses share: full precision, known gradients, unit vectors, and errors that name the argument."""

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor

_KINDS = {
    'floating': torch.is_floating_point,
    'bool': lambda tensor: tensor.dtype == torch.bool,
    'integer': lambda tensor: not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool),
}


def full_precision(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compute a loss with autocast off and its float16 and bfloat16 arguments as float32.

    Args:
        loss (Callable): A function of tensors. Float32 and float64 arguments reach it as they are.

    Returns:
        Callable: The function, with the same signature. A gradient comes back in its argument's own type.
    """

    def widen(value):
        half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
        return value.float() if half else value

    @wraps(loss)
    def run(*args, **kwargs):
        devices = [value.device.type for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        with torch.autocast(devices[0] if devices else 'cpu', enabled=False):
            return loss(*map(widen, args), **{name: widen(value) for name, value in kwargs.items()})

    return run


def with_gradient(tensor: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    """Tie values to the tensor that they were computed from without autograd.

    Args:
        tensor (Tensor): What they are a function of, of any shape.
        value (Tensor): The values: a scalar, or one for each entry of the first dimensions of ``tensor``, of which it
            alone is a function.
        gradient (Tensor): Their first derivative, with as many entries as ``tensor``.

    Returns:
        Tensor: ``value``, differentiable once. A second derivative raises a RuntimeError.

    Example:
        >>> rows = torch.randn(5, 3, requires_grad=True)
        >>> with_gradient(rows, rows.detach().square().sum(dim=1), 2 * rows.detach()).sum().backward()
    """
    link = tensor[:0].clone()  # to the tensor in the graph, without holding its data
    return _KnownGradient.apply(tensor, value, gradient.view_as(tensor), link)


class _KnownGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor: Tensor, value: Tensor, gradient: Tensor, link: Tensor) -> Tensor:
        ctx.save_for_backward(gradient, link)
        return value.clone()

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        gradient, link = ctx.saved_tensors
        grad = grad[(...,) + (None,) * (gradient.dim() - grad.dim())]
        return _OnceDifferentiable.apply(grad, gradient, link), None, None, None


class _OnceDifferentiable(torch.autograd.Function):
    """Product of the chain rule, whose own derivative by the linked tensor is not known.

    torch's own ``once_differentiable`` leaves ``torch.autograd.grad`` to take what is not known for zero.
    """

    @staticmethod
    def forward(ctx, grad: Tensor, gradient: Tensor, link: Tensor) -> Tensor:
        return grad * gradient

    @staticmethod
    def backward(ctx, grad: Tensor) -> None:
        raise RuntimeError('this loss cannot be differentiated twice: only its first derivative is known')


def unit_vectors(vectors: Tensor) -> Tensor:
    """Scale rows to length 1.

    Args:
        vectors (Tensor): (n, D).

    Returns:
        Tensor: (n, D). A row of zeros has no direction: it stays as it is, and its gradient stays small.
    """
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / length.masked_fill(length == 0, 1)


def check_tensor(name: str, tensor: Tensor, kind: str, shape: tuple[int | str, ...]) -> None:
    """Raise an error that says what an argument should have been.

    Args:
        name (str): The argument.
        tensor (Tensor): Its value.
        kind (str): ``'floating'``, ``'integer'`` or ``'bool'``.
        shape (tuple[int | str, ...]): The size of each dimension, or a letter where any size will do.

    Raises:
        ValueError: If ``tensor`` is no tensor, is of another kind, or has another shape.
    """
    wanted = f"'{name}' must be a tensor of {kind} type and shape ({', '.join(map(str, shape))})"
    if not isinstance(tensor, Tensor):
        raise ValueError(f'{wanted}, but is a {type(tensor).__name__}')
    fits = len(shape) == tensor.dim() and all(
        isinstance(size, str) or size == own for size, own in zip(shape, tensor.shape, strict=True)
    )
    if not (fits and _KINDS[kind](tensor)):
        raise ValueError(f'{wanted}, but is {tensor.dtype} of shape {tuple(tensor.shape)}')


def check_count(name: str, value: int) -> None:
    """Raise an error unless an argument is a positive integer.

    Args:
        name (str): The argument.
        value (int): Its value.

    Raises:
        ValueError: If ``value`` is no integer, or is below 1.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"'{name}' must be a positive integer, but is {value!r}")


def check_share(name: str, value: float) -> None:
    """Raise an error unless an argument is a number in [0, 1].

    Args:
        name (str): The argument.
        value (float): Its value.

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"'{name}' must be a number in [0, 1], but is {value!r}")
