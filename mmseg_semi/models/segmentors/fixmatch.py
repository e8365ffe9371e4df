from collections.abc import Iterator

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ..cutmix import cutmix
from ..losses import ConsistencyLosses
from ..prediction import Prediction, Target
from ..views import UnlabeledViews
from .semi_segmentor import SemiSegmentor, eval_mode, weighted


@MODELS.register_module()
class FixMatch(SemiSegmentor):
    """The prediction on a weak view, where it is confident, teaches the strong view.

    `Sohn et al., FixMatch, NeurIPS 2020 <https://arxiv.org/abs/2001.07685>`_, for segmentation and with CutMix as in
    `Yang et al., UniMatch, CVPR 2023 <https://arxiv.org/abs/2208.09910>`_: the loss is (L_x + L_s) / 2. Labelled and
    weak images pass the student in one batch; the pseudo labels of the images that are pasted are predicted apart, in
    eval mode. A batch holds 2k unlabelled images, and image i < k shows boxes of its partner i + k.

    With an ``unsup_start`` the loss is L_x + L_s, so that L_x keeps the scale that the student has trained at alone:
    Adam would make steps of half the size with a halved loss, for the thousand iterations that its moments remember.

    Views: ``weak`` for the pseudo label, ``strong`` for the student, with the same geometry.

    Logs: see :meth:`Target.statistics`.

    Args:
        consistency (list[dict], optional): Losses of a student's :class:`Prediction` and a :class:`Target`. Defaults to
            cross entropy with the pseudo labels of a confidence of at least 0.95.
        ema_teacher (bool): Whether pseudo labels come from the EMA teacher. Defaults to False: from the network itself.
        **kwargs: See :class:`SemiSegmentor`.
    """

    view_names = ('weak', 'strong')
    mixes_pairs = True
    cutmix_views = ('strong',)

    def __init__(self, *args, consistency: list[dict] | None = None, ema_teacher: bool = False, **kwargs) -> None:
        super().__init__(*args, ema_teacher=ema_teacher, **kwargs)
        if consistency is None:
            consistency = [dict(type='PseudoLabelCrossEntropyLoss', threshold=0.95)]
        self.consistency = ConsistencyLosses(consistency)
        self.threshold = max((getattr(loss, 'threshold', 0.0) for loss in self.consistency), default=0.0)

    def combine(self, labeled: dict[str, Tensor], unlabeled: dict[str, Tensor]) -> dict[str, Tensor]:
        """Average L_x and L_s or, with ``unsup_start``, add them."""
        losses = super().combine(labeled, unlabeled)
        return losses if self.unsup_start else weighted(losses, 0.5)

    def joining_images(self, views: UnlabeledViews) -> Tensor | None:
        """Let the weak images pass with the labelled ones, if the student is to label them."""
        return None if self.ema_teacher else self.base_images(views)

    @staticmethod
    def base_images(views: UnlabeledViews) -> Tensor:
        """Give the k weak images that others are pasted on, (k, 3, H, W)."""
        return views.weak.image[: len(views.weak.image) // 2]

    def student_input(self, views: UnlabeledViews) -> tuple[Tensor, Target]:
        """Mix k images of the first strong view, and their pseudo labels, out of 2k."""
        return next(self.mixes(views, self.pseudo_label(views)))

    def mixes(self, views: UnlabeledViews, target: Target) -> Iterator[tuple[Tensor, Target]]:
        """Mix each strong view, and the pseudo labels as its images."""
        strong = (getattr(views, name) for name in self.cutmix_views)
        return (cutmix(view.image, target, view.region) for view in strong)

    def loss_unlabeled(self, views: UnlabeledViews) -> dict[str, Tensor]:
        """Compute L_s."""
        target = self.pseudo_label(views)
        statistics = target.statistics(self.threshold, views.weak.true_label)
        ((image, mixed),) = self.mixes(views, target)
        return {**self.consistency(Prediction(self.seg_logits(self.student, image)), mixed), **statistics}

    @torch.no_grad()
    def pseudo_label(self, views: UnlabeledViews) -> Target:
        """Predict all 2k weak images."""
        if self.ema_teacher or not hasattr(views, 'features'):
            return self.teacher_target(views.weak)
        base = self.seg_logits(self.student, self.base_images(views), views.features)
        with eval_mode(self.student):
            partner = self.seg_logits(self.student, views.weak.image[len(base) :])
        return Target(torch.cat([base, partner]), views.weak.valid, region=torch.zeros_like(views.weak.region))
