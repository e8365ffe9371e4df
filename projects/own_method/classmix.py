import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_semi.models import (
    Prediction,
    PseudoLabelCrossEntropyLoss,
    SemiSegmentor,
    Target,
    UnlabeledViews,
    cutmix,
)


@MODELS.register_module()
class ClassMix(SemiSegmentor):
    """Mix images along the outlines of predicted objects instead of boxes.

    `Olsson et al., ClassMix: Segmentation-Based Data Augmentation for Semi-Supervised Learning, WACV 2021
    <https://arxiv.org/abs/2007.07936>`_. Half of the classes that the teacher sees in the partner are pasted, with its
    pseudo labels; the loss is cross entropy, weighed by the share of confident pixels.

    Args:
        threshold (float): Confidence from which a pixel counts towards the weight, in [0, 1].
        **kwargs: See :class:`SemiSegmentor`.
    """

    view_names = ('weak', 'strong')
    mixes_pairs = True

    def __init__(self, *args, threshold: float = 0.968, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.threshold = threshold
        self.cross_entropy = PseudoLabelCrossEntropyLoss(threshold=0.0)

    def student_input(self, views: UnlabeledViews) -> tuple[Tensor, Target]:
        """Paste half of the classes of each partner."""
        target = self.teacher_target(views.weak)
        region = torch.zeros_like(target.region)
        k = len(region) // 2
        for image, (label, valid) in enumerate(zip(target.label[k:], target.valid[k:], strict=True)):
            classes = label[valid].unique()
            pasted = classes[torch.randperm(len(classes), device=label.device)[: (len(classes) + 1) // 2]]
            region[image] = (torch.isin(label, pasted) & valid).long()
        return cutmix(views.strong.image, target, region)

    def loss_unlabeled(self, views: UnlabeledViews) -> dict[str, Tensor]:
        """Weigh the cross entropy by how sure the teacher is of the batch."""
        image, target = self.student_input(views)
        share = target.confident(self.threshold).sum() / target.valid.sum().clamp(min=1)
        student = Prediction(self.seg_logits(self.student, image))
        return dict(loss_classmix=share * self.cross_entropy(student, target), mask_ratio=share)
