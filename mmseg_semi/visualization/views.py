from collections.abc import Sequence

import cv2
import numpy as np
import torch

from mmseg_semi.models.device_photometric import device_photometric

from .panel import colorize


def draw_sample(sample: dict, palette: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    """Draw what a sample of :class:`SemiDataset` feeds the network.

    Args:
        sample (dict): ``inputs`` and ``data_samples``, dicts with one entry a view.
        palette (Sequence): RGB colour of each class.

    Returns:
        dict[str, np.ndarray]: Pictures, (H, W, 3) uint8, RGB, by title: each view, black where the image does not show;
        its annotation; and where boxes of a partner (``cutmix_region``) or any other map of numbers lies.
    """
    pictures, maps = {}, {}
    for view, tensor in sample['inputs'].items():
        tensor = device_photometric(tensor, sample['data_samples'][view].get('photometric', ()))
        image = np.ascontiguousarray(tensor.float().clamp(0, 255).byte().numpy()[::-1].transpose(1, 2, 0))
        fields = {key: field.data[0].numpy() for key, field in sample['data_samples'][view].items() if _is_map(field)}
        if 'valid_map' in fields:
            image[fields.pop('valid_map') != 0] = 0
        pictures[view] = image
        if 'gt_sem_seg' in fields:
            label = fields.pop('gt_sem_seg')
            pictures[f'{view}: annotation'] = _blend(image, colorize(label, palette), label != 255)
        maps[view] = fields
    for view, fields in maps.items():
        for key, field in fields.items():
            # A map that the views share is drawn once, over the last of them.
            later = list(maps)[list(maps).index(view) + 1 :]
            if not any(np.array_equal(maps[other].get(key), field) for other in later):
                pictures[f'{view}: {key}'] = _draw_map(pictures[view], field)
    return pictures


def _is_map(field) -> bool:
    return isinstance(getattr(field, 'data', None), torch.Tensor) and field.data.ndim == 3


def _draw_map(image: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Tint each number but 0 in a colour of its own, with a white outline."""
    hue = (field.astype(int) * 67 % 180).astype(np.uint8)  # numbers that follow each other get colours far apart
    full = np.full_like(hue, 255)
    colors = cv2.cvtColor(np.stack([hue, full, full], axis=2), cv2.COLOR_HSV2RGB)
    picture = _blend(image, colors, field > 0)
    edge = np.zeros(field.shape, bool)
    edge[1:] |= field[1:] != field[:-1]
    edge[:, 1:] |= field[:, 1:] != field[:, :-1]
    picture[edge] = 255
    return picture


def _blend(image: np.ndarray, colors: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Lay colours over an image, half transparent, where asked for."""
    return np.where(where[..., None], (image.astype(np.uint16) + colors) // 2, image).astype(np.uint8)
