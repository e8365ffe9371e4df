"""Pixel-wise consistency of a student with its teacher.

Shape letters: B images, C classes, H x W pixels.
"""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..prediction import Prediction, Target
from .utils import check_tensor, full_precision


@full_precision
def pixel_consistency_loss(student_prob: Tensor, teacher_prob: Tensor, valid: Tensor | None = None) -> Tensor:
    r"""Mean squared L2 distance between two class-probability vectors of one pixel.

    Equation 4 of `Structured Consistency Loss for Semi-Supervised Semantic Segmentation
    <https://arxiv.org/abs/2001.04647>`_, with the teacher's maps already mixed as the student's image is:

    .. math:: L_c = \frac{1}{|T|} \sum_{i \in T} \lVert p^s_i - p^t_i \rVert^2

    Args:
        student_prob (Tensor): (B, C, H, W), in [0, 1], summing to 1 over the classes.
        teacher_prob (Tensor): (B, C, H, W), likewise. It receives no gradient.
        valid (Tensor, optional): (B, H, W) bool, the pixels T of the mean. Defaults to all of them.

    Returns:
        Tensor: A scalar in [0, 2]; 0 where no pixel is valid.

    Raises:
        ValueError: If a shape or a type does not fit.

    Example:
        >>> student = torch.randn(2, 19, 64, 64, requires_grad=True)
        >>> teacher = torch.randn(2, 19, 64, 64)
        >>> loss = pixel_consistency_loss(student.softmax(1), teacher.softmax(1))
        >>> loss.backward()
    """
    check_tensor('student_prob', student_prob, 'floating', ('B', 'C', 'H', 'W'))
    check_tensor('teacher_prob', teacher_prob, 'floating', tuple(student_prob.shape))
    batch, _, height, width = student_prob.shape
    if valid is None:
        valid = torch.ones(batch, height, width, dtype=torch.bool, device=student_prob.device)
    check_tensor('valid', valid, 'bool', (batch, height, width))

    teacher_prob = teacher_prob.detach().to(student_prob.dtype)
    distance = F.mse_loss(student_prob, teacher_prob, reduction='none').sum(dim=1)
    return torch.where(valid, distance, 0).sum() / valid.sum().clamp(min=1)


@MODELS.register_module()
class PixelConsistencyLoss(nn.Module):
    """:func:`pixel_consistency_loss` of a student's prediction and its target.

    Args:
        loss_weight (float): Factor on the loss. Defaults to 1.0.
        loss_name (str): Name of the loss in the log. It enters the total if it contains ``loss``. Defaults to
            ``'loss_pixel_consistency'``.
    """

    def __init__(self, loss_weight: float = 1.0, loss_name: str = 'loss_pixel_consistency') -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, student: Prediction, target: Target) -> Tensor:
        """Weigh the loss over the pixels where the target is valid.

        Args:
            student (Prediction): Of B images, C classes and H x W pixels.
            target (Target): Of the same shape.

        Returns:
            Tensor: A scalar.
        """
        return self.loss_weight * pixel_consistency_loss(student.prob, target.prob, target.valid)
