"""Consistency of the relations between pixels within each class map.

Shape letters: B images, C classes, H x W pixels, N of them in a row.
"""

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..prediction import Prediction, Target
from .utils import check_share, check_tensor, full_precision, with_gradient

_MODES = ('kl', 'correlation')


@full_precision
def inter_pixel_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor | None = None,
    mode: str = 'kl',
    temperature: float = 1.0,
) -> Tensor:
    r"""Distance between student and teacher in how one class spreads over the confident pixels of an image.

    A reading of `IPixMatch, Wu et al. 2024 <https://arxiv.org/abs/2404.18891>`_, which names the two distances. For
    each image b and class c, take the N confident pixels as one vector and average over all b and c:

    - ``'kl'``: :math:`\tau^2 \, KL(q \Vert p)`, where p and q are softmaxes of the student's and the teacher's
      logits over these pixels (not over the classes), divided by the temperature :math:`\tau`;
    - ``'correlation'``: one minus Pearson's correlation of the two maps of class probability. A map that is constant
      adds 0.

    An image with fewer than two confident pixels adds 0.

    Args:
        student_logits (Tensor): (B, C, H, W).
        teacher_logits (Tensor): (B, C, H, W). It receives no gradient.
        mask (Tensor, optional): (B, H, W) bool, the confident pixels. Defaults to all of them.
        mode (str): ``'kl'`` or ``'correlation'``.
        temperature (float): :math:`\tau` of ``'kl'``, above 0.

    Returns:
        Tensor: A scalar, at least 0; at most 2 for ``'correlation'``.

    Raises:
        ValueError: If a shape or a type does not fit, ``mode`` is unknown or ``temperature`` is not positive.
        RuntimeError: On differentiating twice: only the first derivative is implemented.

    Example:
        >>> student = torch.randn(2, 19, 64, 64, requires_grad=True)
        >>> teacher = torch.randn(2, 19, 64, 64)
        >>> mask = teacher.softmax(dim=1).amax(dim=1) > 0.2
        >>> inter_pixel_loss(student, teacher, mask, mode='correlation').backward()
    """
    check_tensor('student_logits', student_logits, 'floating', ('B', 'C', 'H', 'W'))
    check_tensor('teacher_logits', teacher_logits, 'floating', tuple(student_logits.shape))
    batch, _, height, width = student_logits.shape
    if mask is None:
        mask = torch.ones(batch, height, width, dtype=torch.bool, device=student_logits.device)
    check_tensor('mask', mask, 'bool', (batch, height, width))
    _check_options(mode, temperature)

    teacher_logits = teacher_logits.detach().to(student_logits.dtype)
    if mode == 'kl':
        return with_gradient(student_logits, *_kl(student_logits, teacher_logits, mask, temperature))
    student_prob = student_logits.softmax(dim=1)
    return with_gradient(student_prob, *_correlation(student_prob, teacher_logits.softmax(dim=1), mask))


def _check_options(mode: str, temperature: float) -> None:
    if mode not in _MODES:
        raise ValueError(f"'mode' must be one of {_MODES}, but is {mode!r}")
    if not temperature > 0:
        raise ValueError(f"'temperature' must be above 0, but is {temperature}")


@torch.no_grad()
def _kl(student_logits: Tensor, teacher_logits: Tensor, mask: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Give the mean of tau^2 KL(q || p) and its gradient, tau (p - q) of each image and class."""
    enough = mask.sum(dim=(1, 2)) >= 2
    counts = (mask | ~enough[:, None, None]).flatten(1)[:, None]  # all of an image that will add 0 anyway
    left_out = torch.zeros_like(counts, dtype=student_logits.dtype).masked_fill_(~counts, float('-inf'))

    def spread(logits: Tensor) -> tuple[Tensor, Tensor]:
        maps = torch.add(left_out, logits.flatten(2), alpha=1 / temperature)  # (B, C, N)
        share = maps.softmax(dim=2)
        return share, maps.amax(dim=2) - share.amax(dim=2).log()

    p, log_total_p = spread(student_logits)
    q, log_total_q = spread(teacher_logits)
    # log(q / p) = (t - s) / tau - log sum_i exp(t_i / tau) + log sum_i exp(s_i / tau)
    difference = (teacher_logits - student_logits).flatten(2) / temperature
    kl = difference.mul_(q).sum(dim=2) - log_total_q + log_total_p
    share = enough[:, None] / max(kl.numel(), 1)
    return (temperature**2 * kl * share).sum(), p.sub_(q).mul_(temperature * share[..., None])


@torch.no_grad()
def _correlation(student_prob: Tensor, teacher_prob: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Give the mean of 1 - r and its gradient, (r x / |x| - y / |y|) / |x| for centred maps x and y."""
    inside = mask.flatten(1)[:, None].to(student_prob.dtype)  # (B, 1, N)
    count = inside.sum(dim=2)
    products = torch.empty_like(student_prob).flatten(2)  # one map for all sums of products

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return torch.mul(a, b, out=products).sum(dim=2)

    def centre(prob: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = prob.flatten(2)
        mean = dot(maps, inside) / count.clamp(min=1)
        maps = (maps - mean[..., None]).mul_(inside)
        square = dot(maps, maps)
        # What rounding leaves of a constant map is no variance.
        rounding = count * (8 * torch.finfo(prob.dtype).eps * mean).square() + torch.finfo(prob.dtype).tiny
        return maps, square, square > rounding

    x, x_square, x_varies = centre(student_prob)
    y, y_square, y_varies = centre(teacher_prob)
    defined = x_varies & y_varies & (count >= 2)
    x_length, y_length = x_square.where(defined, 1).sqrt(), y_square.where(defined, 1).sqrt()
    r = dot(x, y) / x_length / y_length
    share = defined / max(defined.numel(), 1)
    by_x, by_y = share * r / x_length.square(), -share / (x_length * y_length)
    return ((1 - r) * share).sum(), x.mul_(by_x[..., None]).addcmul_(y, by_y[..., None])


@MODELS.register_module()
class InterPixelLoss(nn.Module):
    """:func:`inter_pixel_loss` of a student's prediction and its target, over the target's confident pixels.

    Args:
        mode (str): ``'kl'`` or ``'correlation'``. Defaults to ``'kl'``.
        temperature (float): Of ``'kl'``. Defaults to 1.0.
        threshold (float): Confidence from which a pixel counts, in [0, 1]. Defaults to 0.8.
        loss_weight (float): Factor on the loss. Defaults to 1.0.
        loss_name (str): Name of the loss in the log. It enters the total if it contains ``loss``. Defaults to
            ``'loss_inter_pixel'``.

    Raises:
        ValueError: If ``mode`` is unknown or a number is out of range.
    """

    def __init__(
        self,
        mode: str = 'kl',
        temperature: float = 1.0,
        threshold: float = 0.8,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_inter_pixel',
    ) -> None:
        super().__init__()
        _check_options(mode, temperature)
        check_share('threshold', threshold)
        self.mode = mode
        self.temperature = temperature
        self.threshold = threshold
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, student: Prediction, target: Target) -> Tensor:
        """Weigh the loss.

        Args:
            student (Prediction): Of B images, C classes and H x W pixels.
            target (Target): Of the same shape.

        Returns:
            Tensor: A scalar.
        """
        confident = target.confident(self.threshold)
        return self.loss_weight * inter_pixel_loss(
            student.logits, target.logits, confident, self.mode, self.temperature
        )
