import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor
from torch.utils._pytree import tree_map_only

from ..prediction import Prediction
from ..views import UnlabeledViews
from .fixmatch import FixMatch
from .semi_segmentor import weighted


@MODELS.register_module()
class UniMatch(FixMatch):
    """FixMatch with two strong views and one stream of perturbed features.

    `Yang et al., Revisiting Weak-to-Strong Consistency in Semi-Supervised Semantic Segmentation, CVPR 2023
    <https://arxiv.org/abs/2208.09910>`_: the loss is (L_x + L_s1 / 4 + L_s2 / 4 + L_fp / 2) / 2, without the
    last half if there is an ``unsup_start``, as in :class:`FixMatch`. Each strong view has its own boxes; in the
    perturbed stream half of the channels of every feature of the weak images is dropped.

    Views: ``weak``, ``strong1`` and ``strong2``, with the same geometry.

    Args:
        *args, **kwargs: See :class:`FixMatch`.
    """

    view_names = ('weak', 'strong1', 'strong2')
    cutmix_views = ('strong1', 'strong2')

    def joining_images(self, views: UnlabeledViews) -> Tensor:
        """Let the weak images pass with the labelled ones: their features are to be perturbed."""
        return self.base_images(views)

    def loss_unlabeled(self, views: UnlabeledViews) -> dict[str, Tensor]:
        """Compute L_s1 / 4 + L_s2 / 4 + L_fp / 2."""
        target = self.pseudo_label(views)
        statistics = target.statistics(self.threshold, views.weak.true_label)
        (image1, target1), (image2, target2) = self.mixes(views, target)
        strong1, strong2 = self.seg_logits(self.student, torch.cat([image1, image2])).chunk(2)
        weak = self.base_images(views)
        perturbed = self.seg_logits(self.student, weak, tree_map_only(Tensor, _drop_channels, views.features))
        streams = dict(
            s1=(strong1, target1, 1 / 4),
            s2=(strong2, target2, 1 / 4),
            fp=(perturbed, target[: len(weak)], 1 / 2),
        )
        losses = {}
        for name, (logits, stream_target, weight) in streams.items():
            stream = self.consistency(Prediction(logits), stream_target)
            losses.update({f'{name}.{key}': value for key, value in weighted(stream, weight).items()})
        return {**losses, **statistics}


def _drop_channels(feature: Tensor) -> Tensor:
    return F.dropout2d(feature, 0.5) if feature.dim() == 4 else F.dropout(feature, 0.5)
