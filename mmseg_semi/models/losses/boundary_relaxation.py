"""Cross entropy that leaves the label open near a boundary.

Shape letters: B images, C classes, H x W pixels.
"""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from .utils import check_count, check_tensor, full_precision


def boundary_relaxed_cross_entropy(
    logits: Tensor, label: Tensor, window_size: int = 3, ignore_index: int = 255
) -> Tensor:
    r"""Cross entropy with boundary label relaxation.

    Equation 2 of `Structured Consistency Loss for Semi-Supervised Semantic Segmentation
    <https://arxiv.org/abs/2001.04647>`_, after `Improving Semantic Segmentation via Video Propagation and Label
    Relaxation <https://arxiv.org/abs/1812.01593>`_, averaged over the pixels whose own label is not ignored:

    .. math:: L_x = -\log \sum_{c \in N_w} P(c)

    N_w are the classes of the w x w window around the pixel, clipped at the border of the image, without the ignored
    label. With w = 1 this is plain cross entropy.

    Args:
        logits (Tensor): (B, C, H, W).
        label (Tensor): (B, H, W) integer, in [0, C) or ``ignore_index``.
        window_size (int): w, odd. Defaults to 3.
        ignore_index (int): The label of pixels without one. Defaults to 255.

    Returns:
        Tensor: A scalar, at least 0 but for rounding; 0 where every pixel is ignored.

    Raises:
        ValueError: If a shape or a type does not fit, if ``label`` names a class beyond C, or if ``window_size`` is
            not odd and positive.

    Example:
        >>> logits = torch.randn(2, 19, 64, 64, requires_grad=True)
        >>> label = torch.randint(19, (2, 64, 64))
        >>> boundary_relaxed_cross_entropy(logits, label, window_size=3).backward()
    """
    loss = _pixel_losses(logits, label, window_size, ignore_index)
    return loss.sum() / (label != ignore_index).sum().clamp(min=1)


@full_precision
def _pixel_losses(logits: Tensor, label: Tensor, window_size: int, ignore_index: int) -> Tensor:
    r"""Compute the loss of every pixel, 0 where its own label is ignored.

    With q the probabilities P kept on N_w and scaled to sum to 1, :math:`-\log \sum_{c \in N_w} P(c)` is
    :math:`KL(q \Vert P)`, that is the cross entropy of P with q as a soft label, less the entropy of q. Its gradient to
    the logits is P - q, the same as with q held constant. This form is stable, and cheaper than a masked logsumexp.

    Returns:
        Tensor: (B, H, W).
    """
    check_tensor('logits', logits, 'floating', ('B', 'C', 'H', 'W'))
    batch, classes, height, width = logits.shape
    check_tensor('label', label, 'integer', (batch, height, width))
    _check_window(window_size)
    label = label.long()
    labelled = label != ignore_index
    if (labelled & ((label < 0) | (label >= classes))).any():
        raise ValueError(
            f"'label' of shape {tuple(label.shape)} names a class beyond the {classes} of 'logits' "
            f'{tuple(logits.shape)} that is not the ignored label {ignore_index}'
        )
    if window_size == 1:
        return F.cross_entropy(logits, label, ignore_index=ignore_index, reduction='none')

    nearby = _classes_nearby(label, labelled, classes, window_size // 2)
    nearby |= ~labelled[:, None]  # keeps q finite where the window may be empty
    relaxed = logits.detach().masked_fill(~nearby, -torch.inf).softmax(dim=1)
    loss = F.cross_entropy(logits, relaxed, reduction='none') - torch.special.entr(relaxed).sum(dim=1)
    return torch.where(labelled, loss, 0)


def _check_window(window_size: int) -> None:
    check_count('window_size', window_size)
    if window_size % 2 == 0:
        raise ValueError(f"'window_size' must be odd, so that a window has a centre, but is {window_size}")


def _classes_nearby(label: Tensor, labelled: Tensor, classes: int, radius: int) -> Tensor:
    """Mark N_w: (B, C, H, W) bool, the classes within ``radius`` rows and columns of each pixel."""
    batch, height, width = label.shape
    nearby = torch.zeros(batch, classes, height, width, dtype=torch.bool, device=label.device)
    nearby.scatter_(1, torch.where(labelled, label, 0)[:, None], labelled[:, None])
    for dim in (2, 3):
        centre, length = nearby.clone(), nearby.shape[dim]
        for shift in range(1, min(radius, length - 1) + 1):
            nearby.narrow(dim, shift, length - shift).logical_or_(centre.narrow(dim, 0, length - shift))
            nearby.narrow(dim, 0, length - shift).logical_or_(centre.narrow(dim, shift, length - shift))
    return nearby


@MODELS.register_module()
class BoundaryRelaxedCrossEntropyLoss(nn.Module):
    """:func:`boundary_relaxed_cross_entropy` as the ``loss_decode`` of a decode head.

    Args:
        window_size (int): Side of the window around a pixel whose classes are all right for it, odd; 1 gives plain
            cross entropy. Defaults to 3.
        class_weight (list[float], optional): Factor on the pixels of each class, by their own label. The mean is then
            the weighted one, as PyTorch's. Defaults to 1 for each class.
        loss_weight (float): Factor on the loss. Defaults to 1.0.
        loss_name (str): Name of the loss in the log. It enters the total if it contains ``loss``. Defaults to
            ``'loss_boundary_relaxed_ce'``.

    Raises:
        ValueError: If ``window_size`` is not odd and positive.
    """

    def __init__(
        self,
        window_size: int = 3,
        class_weight: list[float] | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_boundary_relaxed_ce',
    ) -> None:
        super().__init__()
        _check_window(window_size)
        self.window_size = window_size
        self.class_weight = class_weight
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        reduction_override: str | None = None,
        ignore_index: int = 255,
    ) -> Tensor:
        """Weigh the loss as a decode head or its pixel sampler asks for it.

        Args:
            cls_score (Tensor): (B, C, H, W) logits.
            label (Tensor): (B, H, W) integer, in [0, C) or ``ignore_index``.
            weight (Tensor, optional): (B, H, W) factor on each pixel. The mean stays that over the pixels whose label
                is not ignored, or over their class weights.
            reduction_override (str, optional): ``'mean'``, ``'sum'`` or ``'none'``. Defaults to ``'mean'``.
            ignore_index (int): The label of pixels without one. Defaults to 255.

        Returns:
            Tensor: A scalar, or (B, H, W) with ``'none'``.

        Raises:
            ValueError: If the head has one output channel, if there is not one class weight for each, or if an argument
                does not fit.
        """
        if reduction_override not in (None, 'mean', 'sum', 'none'):
            raise ValueError(f"'reduction_override' must be 'mean', 'sum' or 'none', but is {reduction_override!r}")
        if cls_score.dim() == 4 and cls_score.shape[1] == 1:
            raise ValueError(
                f"'cls_score' of shape {tuple(cls_score.shape)} is of a head with out_channels=1, which has no softmax "
                'over classes to relax: set out_channels=2 for a binary task'
            )
        loss = self.loss_weight * _pixel_losses(cls_score, label, self.window_size, ignore_index)
        counted = (label != ignore_index).to(loss.dtype)
        if self.class_weight is not None:
            if len(self.class_weight) != cls_score.shape[1]:
                raise ValueError(
                    f"'class_weight' has {len(self.class_weight)} entries, 'cls_score' of shape "
                    f'{tuple(cls_score.shape)} has {cls_score.shape[1]} classes: give one for each'
                )
            counted = counted * loss.new_tensor(self.class_weight)[label.where(label != ignore_index, 0).long()]
            loss = loss * counted
        if weight is not None:
            check_tensor('weight', weight, 'floating', tuple(label.shape))
            loss = loss * weight
        if reduction_override == 'none':
            return loss
        total = loss.sum()
        return total if reduction_override == 'sum' else total / counted.sum().clamp(min=torch.finfo(loss.dtype).tiny)
