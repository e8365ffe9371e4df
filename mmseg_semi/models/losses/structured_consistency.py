"""Consistency of the similarity between pixels, within each pasted box.

Shape letters: B images, C classes, H x W pixels, K pixels of the boxes looked at, N of these
boxes that show, P pairs of a box.
"""

from collections.abc import Sequence

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..prediction import Prediction, Target
from .utils import check_count, check_tensor, full_precision

# Pixels whose outer products are summed in one matrix product. It sets the speed, never the result.
_BLOCK = 256

Pixels = tuple[Tensor, Tensor, Tensor]


@full_precision
def structured_consistency_loss(
    student_prob: Tensor,
    teacher_prob: Tensor,
    region: Tensor,
    num_boxes: int = 16,
    num_pairs: int | None = 9000,
    valid: Tensor | None = None,
    num_regions: int | Sequence[int] | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Squared difference between the student's and the teacher's similarity of two pixels of a box.

    Equations 7 to 10 of `Structured Consistency Loss for Semi-Supervised Semantic Segmentation
    <https://arxiv.org/abs/2001.04647>`_, averaged over the batch:

    .. math::
        a_{ij} = \frac{p_i^\top p_j}{\lVert p_i \rVert \, \lVert p_j \rVert}, \qquad
        L_{sc} = \sum_{n = N - N_{box} + 1}^{N} \frac{1}{|D_n|} \sum_{(i, j) \in D_n} (a^s_{ij} - a^t_{ij})^2

    T_n are the pixels where box n shows, and D_n are at most N_pair pairs of T_n x T_n: all of them if they are no
    more. Otherwise T_n x T_n is cut into N_pair equal slices and one pair is drawn at random from each, so that every
    pair is equally likely and hardly any is drawn twice. A box that shows nowhere adds 0.

    Args:
        student_prob (Tensor): (B, C, H, W), in [0, 1], summing to 1 over the classes.
        teacher_prob (Tensor): (B, C, H, W), likewise, mixed as the student's image is. It receives no gradient.
        region (Tensor): (B, H, W) integer: 0 where the image itself shows, n where the n-th pasted box shows.
        num_boxes (int): N_box, the number of boxes looked at, from the last one pasted. Defaults to 16.
        num_pairs (int, optional): N_pair, the most pairs of a box. None takes all pairs, at a cost that grows
            with the pixels and not with the pairs. Defaults to 9000.
        valid (Tensor, optional): (B, H, W) bool. A pixel that is False belongs to no T_n. Defaults to all True.
        num_regions (int | Sequence[int] | Tensor, optional): N, for all images or one per image. Defaults to the
            largest ``region`` of each image.
        generator (torch.Generator, optional): Draws the pairs, on its own device. Defaults to the global one.

    Returns:
        Tensor: A scalar in [0, ``num_boxes``].

    Raises:
        ValueError: If a shape or a type does not fit, if ``num_boxes`` or ``num_pairs`` is no positive integer, or
            if ``region`` names a box beyond ``num_regions``.

    Example:
        >>> student = torch.randn(2, 19, 64, 64, requires_grad=True)
        >>> teacher = torch.randn(2, 19, 64, 64)
        >>> region = torch.zeros(2, 64, 64, dtype=torch.long)
        >>> region[:, 8:40, 16:32] = 1
        >>> structured_consistency_loss(student.softmax(1), teacher.softmax(1), region).backward()
    """
    check_tensor('student_prob', student_prob, 'floating', ('B', 'C', 'H', 'W'))
    check_tensor('teacher_prob', teacher_prob, 'floating', tuple(student_prob.shape))
    batch, _, height, width = student_prob.shape
    check_tensor('region', region, 'integer', (batch, height, width))
    _check_options(num_boxes, num_pairs)
    if valid is not None:
        check_tensor('valid', valid, 'bool', (batch, height, width))

    pixel, size = _box_pixels(region.long(), num_boxes, valid, num_regions)
    teacher_prob = teacher_prob.detach().to(student_prob.dtype)
    if num_pairs is None:
        box_loss = _all_pairs(student_prob, teacher_prob, pixel, size)
    else:
        i, j, drawn = _draw_pairs(size, num_pairs, generator)
        target = _similarity(teacher_prob, pixel, i, j)
        error = (_similarity(student_prob, pixel, i, j) - target).square()
        box_loss = (error * drawn).sum(dim=1) / drawn.sum(dim=1)
    return box_loss.sum() / max(batch, 1)


def _check_options(num_boxes: int, num_pairs: int | None) -> None:
    check_count('num_boxes', num_boxes)
    if num_pairs is not None:
        check_count('num_pairs', num_pairs)


def _box_pixels(
    region: Tensor, num_boxes: int, valid: Tensor | None, num_regions: int | Sequence[int] | Tensor | None
) -> tuple[Pixels, Tensor]:
    """Find T_n of the last boxes of every image.

    Returns:
        tuple[Pixels, Tensor]: (K,) image, row and column of the pixels, box after box, and (N,) the number of pixels
        of each box. Boxes that show nowhere are left out.
    """
    batch = len(region)
    shown = region.flatten(1).amax(dim=1)
    if num_regions is None:
        num_regions = shown
    else:
        num_regions = torch.as_tensor(num_regions, device=region.device)
        if num_regions.dim() == 0:
            num_regions = num_regions.expand(batch)
        check_tensor('num_regions', num_regions, 'integer', (batch,))
        if (shown > num_regions).any():
            raise ValueError(f"'region' names box {shown.tolist()}, but 'num_regions' is {num_regions.tolist()}")

    looked_at = region > (num_regions.long() - num_boxes).clamp(min=0)[:, None, None]
    if valid is not None:
        looked_at = looked_at & valid
    image, y, x = looked_at.nonzero(as_tuple=True)
    box, order = (region[image, y, x] * batch + image).sort(stable=True)
    return (image[order], y[order], x[order]), box.unique_consecutive(return_counts=True)[1]


def _draw_pairs(size: Tensor, num_pairs: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
    """Draw D_n for boxes of (N,) pixels: one pair from each of |D_n| equal slices of T_n x T_n.

    Returns:
        tuple[Tensor, Tensor, Tensor]: (N, P) places of the first and of the second pixels in the list of all boxes'
        pixels, and (N, P) bool, True for the pairs in D_n. P is |D_n| of the largest box.
    """
    size = size[:, None]
    slices = size.square().clamp(max=num_pairs)
    number = torch.arange(max(slices.flatten().tolist(), default=0), device=size.device)
    device = size.device if generator is None else generator.device
    within = torch.rand(len(size), len(number), dtype=torch.float64, generator=generator, device=device)
    pair = ((number + within.to(size.device)) * (size.square() / slices.double())).long()
    pair = pair.minimum(size.square() - 1)  # rounding, or a number past the last slice, must not leave the box
    first, row = size.cumsum(dim=0) - size, pair.div(size, rounding_mode='floor')
    return first + row, first + pair - row * size, number < slices


def _vectors(prob: Tensor, pixel: Pixels) -> tuple[Tensor, Tensor]:
    """Gather (K, C) probability vectors and their (K, 1) lengths."""
    image, y, x = pixel
    vectors = prob[image, :, y, x]
    # At least 1 / sqrt(C) long: the minimum only keeps rows of zeros, which are no probabilities, from giving NaN.
    return vectors, torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp(min=1e-12)


def _similarity(prob: Tensor, pixel: Pixels, i: Tensor, j: Tensor) -> Tensor:
    """Compute (N, P) cosine similarities a_ij, equation 7."""
    vectors, length = _vectors(prob, pixel)
    length = length.squeeze(dim=1)
    return (vectors[i] * vectors[j]).sum(dim=-1) / (length[i] * length[j])


def _all_pairs(student_prob: Tensor, teacher_prob: Tensor, pixel: Pixels, size: Tensor) -> Tensor:
    r"""Mean of :math:`(a^s_{ij} - a^t_{ij})^2` over all pairs of each box, without forming the pairs.

    With unit vectors s and t, d = s - t and e = s + t, a similarity differs by
    :math:`s_i^\top s_j - t_i^\top t_j = (d_i^\top e_j + e_i^\top d_j) / 2`. The sum of its square over all i and j is
    :math:`(\langle D^\top D, E^\top E \rangle + \langle D^\top E, E^\top D \rangle) / 2`. It takes C x C matrices
    only, and loses no digits where student and teacher agree.

    Returns:
        Tensor: (N,).
    """
    student, teacher = (torch.div(*_vectors(prob, pixel)) for prob in (student_prob, teacher_prob))
    # Every box is filled up with zero rows to whole blocks, so that a box's sum is a sum of its blocks.
    blocks = (size + _BLOCK - 1).div(_BLOCK, rounding_mode='floor')
    filled = (blocks * _BLOCK - size).cumsum(0) - (blocks * _BLOCK - size)
    row = torch.arange(len(student), device=size.device) + filled.repeat_interleave(size)
    box = torch.arange(len(size), device=size.device).repeat_interleave(blocks)

    def in_blocks(vectors: Tensor) -> Tensor:
        padded = vectors.new_zeros(len(box) * _BLOCK, vectors.shape[1]).index_copy(0, row, vectors)
        return padded.view(len(box), _BLOCK, vectors.shape[1])

    def inner(a: Tensor, b: Tensor) -> Tensor:
        per_block = a.transpose(1, 2) @ b
        return per_block.new_zeros(len(size), *per_block.shape[1:]).index_add(0, box, per_block)

    d, e = in_blocks(student - teacher), in_blocks(student + teacher)
    cross = inner(d, e)
    total = inner(d, d) * inner(e, e) + cross * cross.transpose(1, 2)
    return total.sum(dim=(1, 2)) / 2 / size.square()


@MODELS.register_module()
class StructuredConsistencyLoss(nn.Module):
    """:func:`structured_consistency_loss` of a student's prediction and its target.

    Args:
        num_boxes (int): The number of boxes looked at, from the last one pasted. Defaults to 16.
        num_pairs (int, optional): The most pairs of a box; None takes all. Defaults to 9000.
        loss_weight (float): Factor on the loss. Defaults to 1.0.
        loss_name (str): Name of the loss in the log. It enters the total if it contains ``loss``. Defaults to
            ``'loss_structured_consistency'``.

    Raises:
        ValueError: If ``num_boxes`` or ``num_pairs`` is no positive integer.
    """

    def __init__(
        self,
        num_boxes: int = 16,
        num_pairs: int | None = 9000,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_structured_consistency',
    ) -> None:
        super().__init__()
        _check_options(num_boxes, num_pairs)
        self.num_boxes = num_boxes
        self.num_pairs = num_pairs
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, student: Prediction, target: Target) -> Tensor:
        """Weigh the loss over the boxes of the target, on the pixels where it is valid.

        Args:
            student (Prediction): Of B images, C classes and H x W pixels.
            target (Target): Of the same shape, with its region.

        Returns:
            Tensor: A scalar.
        """
        return self.loss_weight * structured_consistency_loss(
            student.prob,
            target.prob,
            target.region,
            num_boxes=self.num_boxes,
            num_pairs=self.num_pairs,
            valid=target.valid,
        )
