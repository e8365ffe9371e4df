"""Checks of images and annotations that need no network: each names the first wrong file and the way out."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

# How a complete file ends.
_ENDINGS = {'JPEG': b'\xff\xd9', 'PNG': b'IEND\xaeB`\x82'}


def check_image(path: str) -> tuple[int, int]:
    """Make sure that an image is there and complete, without decoding it where its last bytes tell.

    Returns:
        tuple[int, int]: Height and width.

    Raises:
        ValueError: If the file is missing, unreadable or truncated.
    """
    try:
        with Image.open(path) as image, open(path, 'rb') as file:
            file.seek(-min(8, Path(path).stat().st_size), 2)
            if not file.read().endswith(_ENDINGS.get(image.format, b'')) or image.format not in _ENDINGS:
                image.load()
            return image.height, image.width
    except FileNotFoundError:
        raise ValueError(f'image not found: {path}. Correct the list or the data_prefix that names it') from None
    except (OSError, SyntaxError) as error:
        raise ValueError(f'unreadable image {path}: {error}. Replace the file or take it off the list') from error


def check_annotation(info: dict, num_classes: int) -> None:
    """Make sure that an image and its annotation fit each other and the classes.

    Args:
        info (dict): What an mmseg dataset knows of the sample.
        num_classes (int): Ids from 0 to ``num_classes - 1`` and 255, ignored, are right.

    Raises:
        ValueError: If the annotation is missing, unreadable, of another size or has another id.
    """
    path = info['seg_map_path']
    size, image_size = check_image(path), check_image(info['img_path'])
    if size != image_size:
        raise ValueError(
            f'{info["img_path"]} has height and width {image_size}, but its annotation {path} has {size}: '
            'both must show the same pixels'
        )
    loader = LoadAnnotations()
    label = loader.transform({**info, 'seg_fields': []})['gt_seg_map']
    if label.ndim != 2:
        raise ValueError(f'annotation {path} has shape {label.shape}: it must be an image of class ids, one channel')
    wrong = np.unique(label[(label >= num_classes) & (label != 255)])
    if wrong.size:
        raise ValueError(
            f'annotation {path} has the values {wrong.tolist()}, but ids go from 0 to {num_classes - 1}, and 255 is '
            "ignored: correct the file, the dataset's classes, or reduce_zero_label"
        )


def check_labeled(dataset: BaseSegDataset, name: str) -> None:
    """Check all images and annotations of a dataset.

    Raises:
        ValueError: See :func:`check_annotation`; also if there is no image.
    """
    infos = _infos(dataset)
    if not infos:
        raise ValueError(f'{name} has no image: check data_prefix={dataset.data_prefix}, ann_file={dataset.ann_file!r}')
    num_classes = len(dataset.metainfo['classes'])
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda info: check_annotation(info, num_classes), infos))


def check_unlabeled(dataset: BaseSegDataset) -> None:
    """Check all images of a dataset; annotations are not looked at.

    Raises:
        ValueError: See :func:`check_image`.
    """
    with ThreadPoolExecutor() as pool:
        list(pool.map(check_image, [info['img_path'] for info in _infos(dataset)]))


def check_disjoint(labeled: BaseSegDataset, val: BaseSegDataset) -> None:
    """Make sure that no image is both trained on with its label and validated on.

    Raises:
        ValueError: Naming one that is.
    """
    seen = {Path(info['img_path']).resolve() for info in _infos(labeled)}
    both = sorted(info['img_path'] for info in _infos(val) if Path(info['img_path']).resolve() in seen)
    if both:
        raise ValueError(f'{len(both)} images are in the labelled and in the validation list, such as {both[0]}')


def _infos(dataset: BaseSegDataset) -> Sequence[dict]:
    return [dataset.get_data_info(index) for index in range(len(dataset))]
