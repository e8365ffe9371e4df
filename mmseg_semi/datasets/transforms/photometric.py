import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from torchvision.transforms import ColorJitter, GaussianBlur

_JITTER = ('brightness', 'contrast', 'saturation', 'hue')
_OF_COLOURS = ('saturation', 'hue')
# Luma of BGR, as torchvision weighs it.
_GRAY = np.array([0.114, 0.587, 0.2989])


@TRANSFORMS.register_module()
class StrongPhotometric(BaseTransform):
    """Colour jitter, grayscale and blur for a strong view.

    torchvision draws what is to be done. It is done here, or by :class:`SemiDataPreprocessor` on the model's device,
    with the same result but for rounding. The defaults are those of `UniMatch <https://arxiv.org/abs/2208.09910>`_.

    Required Keys:

    - img (np.uint8): (H, W, 3), BGR, as mmcv loads it; saturation, hue and grayscale change nothing in images of other
      channels, (H, W) or (H, W, C)

    Modified Keys:

    - img, unless ``on_device``

    Added Keys:

    - photometric (list[tuple[str, float]]), with ``on_device``: steps in their order, see :func:`photometric`

    Args:
        brightness, contrast, saturation (float): Factors are drawn from [max(0, 1 - x), 1 + x].
        hue (float): The shift is drawn from [-hue, hue], in turns of the colour circle, at most 0.5.
        jitter_prob, gray_prob, blur_prob (float): Probabilities of each, in [0, 1].
        blur_sigma (tuple[float, float]): Range of the blur's standard deviation in pixels.
        on_device (bool): Whether to leave the work to the model's device, for a GPU that waits for its loaders.
            Nothing but a flip may follow, and the pipeline must end in :class:`MultiView`. Defaults to False.

    Raises:
        ValueError: If an argument is out of its range.
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
        on_device: bool = False,
    ) -> None:
        self.jitter = ColorJitter(brightness, contrast, saturation, hue)
        self.blur = GaussianBlur(blur_kernel_size(blur_sigma[1]), sigma=blur_sigma)
        self.probs = dict(jitter_prob=jitter_prob, gray_prob=gray_prob, blur_prob=blur_prob)
        for name, prob in self.probs.items():
            if not 0 <= prob <= 1:
                raise ValueError(f'StrongPhotometric: {name}={prob} is not in [0, 1]')
        self.on_device = on_device

    def transform(self, results: dict) -> dict:
        """Augment ``results['img']``, or say how.

        Raises:
            ValueError: If its values are not of eight bits, or the device is to change what is not BGR.
        """
        if results['img'].dtype != np.uint8:
            raise ValueError(
                f'StrongPhotometric: colours go from 0 to 255, as uint8, but an image is {results["img"].dtype}: load '
                'it without to_float32 and in eight bits, or leave the transform out of the views'
            )
        steps = self._draw()
        if results['img'].shape[2:] != (3,):
            if self.on_device:
                raise ValueError(
                    f'StrongPhotometric: an image of shape {results["img"].shape} has no three channels, which '
                    'on_device=True is for: leave it out'
                )
            steps = [step for step in steps if step[0] not in _OF_COLOURS]
        if self.on_device:
            results['photometric'] = [*results.get('photometric', []), *steps]
        else:
            results['img'] = photometric(results['img'], steps)
        return results

    def _draw(self) -> list[tuple[str, float]]:
        jitter, gray, blur = (torch.rand(3) < torch.tensor(list(self.probs.values()))).tolist()
        steps = []
        if jitter:
            order, *values = ColorJitter.get_params(*(getattr(self.jitter, name) for name in _JITTER))
            steps += [(_JITTER[i], values[i]) for i in order.tolist() if values[i] is not None]
        if gray:
            steps.append(('saturation', 0.0))
        if blur:
            steps.append(('blur', GaussianBlur.get_params(*self.blur.sigma)))
        return steps

    def __repr__(self) -> str:
        probs = ', '.join(f'{name}={prob}' for name, prob in self.probs.items())
        return f'{type(self).__name__}({self.jitter}, {self.blur}, {probs}, on_device={self.on_device})'


def blur_kernel_size(sigma: float) -> int:
    """Give the side, in pixels, of a blur's kernel that is cut off at three standard deviations."""
    return 2 * math.ceil(3 * sigma) + 1


def photometric(image: np.ndarray, steps: Sequence[tuple[str, float]]) -> np.ndarray:
    """Change the colours of an image as torchvision's functions for float images do, several times faster.

    Nothing is rounded before the end.

    Args:
        image (np.ndarray): (H, W, 3) uint8, BGR; or of any channels, where no step is of saturation or hue.
        steps (Sequence[tuple[str, float]]): Names and values, in this order: the factor of ``'brightness'``,
            ``'contrast'`` or ``'saturation'``, the shift of ``'hue'`` in turns of the colour circle, or the standard
            deviation of a ``'blur'`` in pixels.

    Returns:
        np.ndarray: The same shape, uint8.
    """
    shape, image = image.shape, image.astype(np.float32)
    for name, value in steps:
        image = _STEPS[name](image, value)
    return cv2.convertScaleAbs(image).reshape(shape)


# Each may overwrite the image.
def _brightness(image: np.ndarray, factor: float) -> np.ndarray:
    image *= factor
    return _clip(image)


def _contrast(image: np.ndarray, factor: float) -> np.ndarray:
    mean = float(_GRAY @ cv2.mean(image)[:3] if image.shape[2:] == (3,) else image.mean())
    image *= factor
    image += (1 - factor) * mean
    return _clip(image)


def _saturation(image: np.ndarray, factor: float) -> np.ndarray:
    return _clip(cv2.transform(image, factor * np.eye(3) + (1 - factor) * _GRAY))


def _hue(image: np.ndarray, turns: float) -> np.ndarray:
    # OpenCV brings degrees from 0 to 720 back to the circle.
    hsv = cv2.add(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), (360 * (turns % 1), 0, 0, 0))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    size = blur_kernel_size(sigma)
    return cv2.GaussianBlur(image, (size, size), sigma)


def _clip(image: np.ndarray) -> np.ndarray:
    return np.clip(image, 0, 255, out=image)


_STEPS = dict(brightness=_brightness, contrast=_contrast, saturation=_saturation, hue=_hue, blur=_blur)
