from collections.abc import Sequence

import cv2
import numpy as np
import torch

from mmseg_semi.models.device_photometric import device_photometric

from .panel import colorize, three_channels


def draw_samples(samples: Sequence[dict], palette: Sequence[Sequence[int]]) -> list[dict[str, np.ndarray]]:
    """Draw what samples of one part of a :class:`SemiDataset` feed the network.

    Args:
        samples (Sequence[dict]): ``inputs`` and ``data_samples``, dicts with one entry a view.
        palette (Sequence): RGB colour of each class.

    Returns:
        list[dict[str, np.ndarray]]: For each sample pictures, (H, W, 3) uint8, RGB, by title, the same for all: each
        view, black where the image does not show; its annotation; and where boxes of a partner (``cutmix_region``) or
        any other map of numbers lies, which is drawn once, over the last of the views that share it in all samples.
    """
    drawn = [_draw_views(sample, palette) for sample in samples]
    views = list(samples[0]['inputs'])
    for i, view in enumerate(views):
        for key in drawn[0][1][view]:
            shared = (
                all(np.array_equal(maps[other].get(key), maps[view][key]) for _, maps in drawn)
                for other in views[i + 1 :]
            )
            if not any(shared):
                for pictures, maps in drawn:
                    pictures[f'{view}: {key}'] = _draw_map(pictures[view], maps[view][key])
    return [pictures for pictures, _ in drawn]


def _draw_views(sample: dict, palette: Sequence[Sequence[int]]) -> tuple[dict[str, np.ndarray], dict[str, dict]]:
    """Draw each view and its annotation, and give its other maps."""
    pictures, maps = {}, {}
    for view, tensor in sample['inputs'].items():
        tensor = device_photometric(tensor, sample['data_samples'][view].get('photometric', ()))
        image = three_channels(tensor.float().clamp(0, 255).byte().numpy().transpose(1, 2, 0))[..., ::-1].copy()
        fields = {key: field.data[0].numpy() for key, field in sample['data_samples'][view].items() if _is_map(field)}
        if 'valid_map' in fields:
            image[fields.pop('valid_map') != 0] = 0
        pictures[view] = image
        if 'gt_sem_seg' in fields:
            label = fields.pop('gt_sem_seg')
            pictures[f'{view}: annotation'] = _blend(image, colorize(label, palette), label != 255)
        maps[view] = fields
    return pictures, maps


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
