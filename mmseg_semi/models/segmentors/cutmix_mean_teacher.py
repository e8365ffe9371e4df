from mmseg.registry import MODELS
from torch import Tensor

from ..cutmix import cutmix
from ..losses import ConsistencyLosses
from ..prediction import Prediction, Target
from ..views import UnlabeledViews
from .semi_segmentor import SemiSegmentor


@MODELS.register_module()
class CutMixMeanTeacher(SemiSegmentor):
    """Consistency between a mix of predictions and the prediction of a mix.

    The teacher predicts both images of a pair apart; images and predictions are mixed by the same region; the student
    sees the mix. With the default losses this is `Structured Consistency Loss for Semi-Supervised Semantic
    Segmentation, Kim et al. 2020 <https://arxiv.org/abs/2001.04647>`_, equation 3; with :class:`PixelConsistencyLoss`
    alone it is `CutMix-Seg, French et al. 2020 <https://arxiv.org/abs/1906.01916>`_.

    Views: ``weak`` for the teacher, ``strong`` for the student, with the same geometry.

    Args:
        consistency (list[dict], optional): Losses of a student's :class:`Prediction` and a :class:`Target`. Defaults to
            the paper's: pixel consistency with weight 20, structured consistency with weight 3.
        joint_batch (bool): Whether mixed and labelled images, of one size, pass the backbone in one batch, so that
            batch norm sees in training what its running statistics then stand for. Defaults to True.
        **kwargs: See :class:`SemiSegmentor`.
    """

    view_names = ('weak', 'strong')
    mixes_pairs = True
    cutmix_views = ('strong',)

    def __init__(self, *args, consistency: list[dict] | None = None, joint_batch: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.joint_batch = joint_batch
        if consistency is None:
            consistency = [
                dict(type='PixelConsistencyLoss', loss_weight=20.0),
                dict(type='StructuredConsistencyLoss', loss_weight=3.0),
            ]
        self.consistency = ConsistencyLosses(consistency)

    def joining_images(self, views: UnlabeledViews) -> Tensor | None:
        """Let the mixed images pass the backbone with the labelled ones."""
        if not self.joint_batch:
            return None
        image, _ = views.mixed = self.student_input(views)
        return image

    def student_input(self, views: UnlabeledViews) -> tuple[Tensor, Target]:
        """Mix k images, and the teacher's predictions on them, out of 2k."""
        target = self.teacher_target(views.weak)
        return cutmix(views.strong.image, target, views.strong.region)

    def loss_unlabeled(self, views: UnlabeledViews) -> dict[str, Tensor]:
        """Compare the mix of predictions with the prediction of the mix (equations 3, 4 and 10)."""
        image, target = views.mixed if hasattr(views, 'mixed') else self.student_input(views)
        student = self.seg_logits(self.student, image, getattr(views, 'features', None))
        return self.consistency(Prediction(student), target)
