import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from torchvision.transforms import v2


@TRANSFORMS.register_module()
class StrongPhotometric(BaseTransform):
    """Colour jitter, grayscale and blur, by torchvision, for a strong view.

    The defaults are those of `UniMatch <https://arxiv.org/abs/2208.09910>`_.

    Required Keys:

    - img (np.uint8): (H, W, 3), BGR, as mmcv loads it

    Modified Keys:

    - img

    Args:
        brightness, contrast, saturation (float): Factors are drawn from [1 - x, 1 + x].
        hue (float): The shift is drawn from [-hue, hue], in turns of the colour circle, at most 0.5.
        jitter_prob, gray_prob, blur_prob (float): Probabilities of each, in [0, 1].
        blur_sigma (tuple[float, float]): Range of the blur's standard deviation in pixels.
    """

    def __init__(
        self,
        brightness: float = 0.5,
        contrast: float = 0.5,
        saturation: float = 0.5,
        hue: float = 0.25,
        jitter_prob: float = 0.8,
        gray_prob: float = 0.2,
        blur_prob: float = 0.5,
        blur_sigma: tuple[float, float] = (0.1, 2.0),
    ) -> None:
        kernel = 2 * int(np.ceil(3 * blur_sigma[1])) + 1
        self.augment = v2.Compose(
            [
                v2.RandomApply([v2.ColorJitter(brightness, contrast, saturation, hue)], p=jitter_prob),
                v2.RandomGrayscale(p=gray_prob),
                v2.RandomApply([v2.GaussianBlur(kernel, sigma=blur_sigma)], p=blur_prob),
            ]
        )

    def transform(self, results: dict) -> dict:
        """Augment ``results['img']``."""
        rgb = torch.from_numpy(np.ascontiguousarray(results['img'][..., ::-1])).permute(2, 0, 1)
        rgb = self.augment(rgb).permute(1, 2, 0).numpy()
        results['img'] = np.ascontiguousarray(rgb[..., ::-1])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.augment})'
