from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from mmseg_semi.datasets.transforms.photometric import blur_kernel_size


@torch.no_grad()
def device_photometric(image: Tensor, steps: Sequence[tuple[str, float]]) -> Tensor:
    """Change the colours of an image on the device that it lies on.

    It is what :func:`mmseg_semi.datasets.transforms.photometric.photometric` does in a worker of the dataloader, but
    for rounding, whatever autocast is set to.

    Args:
        image (Tensor): (3, H, W) uint8, BGR.
        steps (Sequence[tuple[str, float]]): As :class:`StrongPhotometric` draws them.

    Returns:
        Tensor: (3, H, W) uint8.
    """
    if not steps:
        return image
    with torch.autocast(image.device.type, enabled=False):
        rgb = image.flip(0).float() / 255
        for name, value in steps:
            rgb = _STEPS[name](rgb, value)
        return (rgb * 255).round().byte().flip(0)


def _blur(image: Tensor, sigma: float) -> Tensor:
    size = blur_kernel_size(sigma)
    return functional.gaussian_blur(image, [size, size], [sigma, sigma])


_STEPS = dict(
    brightness=functional.adjust_brightness,
    contrast=functional.adjust_contrast,
    saturation=functional.adjust_saturation,
    hue=functional.adjust_hue,
    blur=_blur,
)
