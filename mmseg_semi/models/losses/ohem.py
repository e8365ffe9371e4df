from mmseg.registry import TASK_UTILS
from mmseg.structures import OHEMPixelSampler
from torch import Tensor


@TASK_UTILS.register_module()
class MeanOHEMPixelSampler(OHEMPixelSampler):
    """OHEM whose loss is the mean over the pixels that are kept, as in UniMatch's training on Cityscapes.

    mmseg's own sampler weighs them with one, so that a loss which divides by the number of all pixels shrinks with the
    share that is kept. Here their weights make up for it: all pixels over kept ones.

    For a head's ``sampler``, with losses that divide by all pixels, as ``CrossEntropyLoss`` does unless
    ``avg_non_ignore`` is set.

    Args:
        *args, **kwargs: See :class:`mmseg.structures.OHEMPixelSampler`.
    """

    def sample(self, seg_logit: Tensor, seg_label: Tensor) -> Tensor:
        """Weigh pixels: kept ones alike, others with 0.

        Args:
            seg_logit (Tensor): (B, C, H, W).
            seg_label (Tensor): (B, 1, H, W).

        Returns:
            Tensor: (B, H, W) float32.
        """
        weight = super().sample(seg_logit, seg_label).float()
        return weight * (weight.numel() / weight.sum().clamp(min=1))
