import torch
from torch import Tensor

from .prediction import Target


def cutmix(image: Tensor, target: Target, region: Tensor) -> tuple[Tensor, Target]:
    """Mix 2k images, and what is to be learnt from them, by the same regions.

    `Yun et al., CutMix, ICCV 2019 <https://arxiv.org/abs/1905.04899>`_, for segmentation after `French et al. 2020
    <https://arxiv.org/abs/1906.01916>`_.

    Args:
        image (Tensor): (2k, 3, H, W).
        target (Target): Of the same 2k images.
        region (Tensor): (2k, H, W) int64. Where it is positive, image i < k shows its partner i + k; the regions of
            the partners are not used.

    Returns:
        tuple[Tensor, Target]: k mixed images and their targets.

    Raises:
        ValueError: If the number of images is odd or zero.
    """
    k, odd = divmod(len(image), 2)
    if odd or k == 0:
        raise ValueError(
            f'CutMix pairs unlabelled images, but the batch holds {len(image)}: make the unlabelled part of '
            "the sampler's source_ratio an even number"
        )
    region = region[:k]

    def mix(batch: Tensor) -> Tensor:
        pasted = region > 0 if batch.ndim == 3 else region[:, None] > 0
        return torch.where(pasted, batch[k:], batch[:k])

    return mix(image), target.rearranged(mix, region)
