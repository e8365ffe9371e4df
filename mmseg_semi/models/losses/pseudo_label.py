"""Cross entropy with hard pseudo labels that are confident.

Shape letters: B images, C classes, H x W pixels.
"""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..prediction import Prediction, Target
from .utils import check_share, check_tensor, full_precision


@full_precision
def pseudo_label_cross_entropy(
    student_logits: Tensor, label: Tensor, confident: Tensor, valid: Tensor | None = None
) -> Tensor:
    r"""Cross entropy of the student with pseudo labels, summed where they are confident, averaged over all that count.

    The unsupervised loss of `FixMatch <https://arxiv.org/abs/2001.07685>`_, equation 4, for pixels as in `UniMatch
    <https://arxiv.org/abs/2208.09910>`_: V are the valid pixels, of which those in A are confident.

    .. math:: L_s = -\frac{1}{|V|} \sum_{i \in A \cap V} \log p^s_i(\hat y_i)

    Args:
        student_logits (Tensor): (B, C, H, W).
        label (Tensor): (B, H, W) integer, in [0, C).
        confident (Tensor): (B, H, W) bool, the pixels A.
        valid (Tensor, optional): (B, H, W) bool, the pixels V. Defaults to all of them.

    Returns:
        Tensor: A scalar, at least 0; 0 where no pixel is confident.

    Raises:
        ValueError: If a shape or a type does not fit.

    Example:
        >>> student = torch.randn(2, 19, 64, 64, requires_grad=True)
        >>> confidence, label = torch.randn(2, 19, 64, 64).softmax(dim=1).max(dim=1)
        >>> pseudo_label_cross_entropy(student, label, confidence > 0.2).backward()
    """
    check_tensor('student_logits', student_logits, 'floating', ('B', 'C', 'H', 'W'))
    pixels = (len(student_logits), *student_logits.shape[2:])
    check_tensor('label', label, 'integer', pixels)
    check_tensor('confident', confident, 'bool', pixels)
    if valid is None:
        valid = torch.ones_like(confident)
    check_tensor('valid', valid, 'bool', pixels)

    label = label.long().where(confident & valid, -100)
    return F.cross_entropy(student_logits, label, ignore_index=-100, reduction='sum') / valid.sum().clamp(min=1)


@MODELS.register_module()
class PseudoLabelCrossEntropyLoss(nn.Module):
    """:func:`pseudo_label_cross_entropy` of a student's prediction and its target.

    Args:
        threshold (float): Confidence from which a pseudo label counts, in [0, 1]. Defaults to 0.95.
        loss_weight (float): Factor on the loss. Defaults to 1.0.
        loss_name (str): Name of the loss in the log. It enters the total if it contains ``loss``. Defaults to
            ``'loss_pseudo_label'``.

    Raises:
        ValueError: If ``threshold`` is out of range.
    """

    def __init__(self, threshold: float = 0.95, loss_weight: float = 1.0, loss_name: str = 'loss_pseudo_label') -> None:
        super().__init__()
        check_share('threshold', threshold)
        self.threshold = threshold
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
        confident = target.confident(self.threshold)
        return self.loss_weight * pseudo_label_cross_entropy(student.logits, target.label, confident, target.valid)
