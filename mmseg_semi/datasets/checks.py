"""Checks of images and annotations that need no network: each names the first wrong file and the way out."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import mmcv
import numpy as np
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from PIL import ExifTags, Image, UnidentifiedImageError

from .transforms import LoadUnlabeledImage

# How a complete file ends.
_ENDINGS = {'JPEG': b'\xff\xd9', 'PNG': b'IEND\xaeB`\x82'}


class DataError(ValueError):
    """A file that cannot be trained on; ``kind`` says in a word what is wrong with it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)  # both, so that it passes between processes
        self.kind = kind

    def __str__(self) -> str:
        return self.args[1]


def check_image(path: str, whole: bool = False, what: str = 'image') -> tuple[int, int]:
    """Make sure that an image is there and complete, without decoding it where its last bytes tell.

    Args:
        path (str): File.
        whole (bool): Whether to decode it nevertheless.
        what (str): What the file is, in a word.

    Returns:
        tuple[int, int]: Height and width that it is loaded with, upright as its EXIF data say.

    Raises:
        DataError: If the file is missing, unreadable or truncated.
    """
    try:
        with Image.open(path) as image, open(path, 'rb') as file:
            file.seek(-min(8, Path(path).stat().st_size), 2)
            if whole or not file.read().endswith(_ENDINGS.get(image.format, b'')) or image.format not in _ENDINGS:
                image.load()
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            return (image.width, image.height) if turned else (image.height, image.width)
    except FileNotFoundError:
        raise not_found(path, what) from None
    except Image.DecompressionBombError as error:
        raise DataError('unreadable', f'{what} {path} is too large: {error}. Cut it into tiles') from error
    except (OSError, SyntaxError) as error:
        if what == 'image' and path.lower().endswith(('.tif', '.tiff')) and isinstance(error, UnidentifiedImageError):
            with suppress(Exception):  # whatever a broken file makes of tifffile
                shape = mmcv.imread(path, flag='unchanged', backend='tifffile').shape
                if len(shape) == 2 or (len(shape) == 3 and shape[2] == min(shape)):  # bands come last
                    return shape[:2]
        message = f'unreadable {what} {path}: {error}. Replace the file or take it off the list'
        raise DataError('unreadable', message) from error


def not_found(path: str, what: str) -> DataError:
    """Say that a file is missing; ``what`` it is, in a word."""
    marked = ' Its list begins with a byte-order mark: save it without.' if '\ufeff' in path else ''
    return DataError('missing', f'{what} not found: {path}. Correct the list or the data_prefix that names it.{marked}')


def check_annotation(info: dict, num_classes: int) -> np.ndarray:
    """Make sure that an image and its annotation fit each other and the classes.

    Args:
        info (dict): What an mmseg dataset knows of the sample.
        num_classes (int): Ids from 0 to ``num_classes - 1`` are right, and what is ignored: 255 or, of
            :func:`data_infos`, the dataset's ``ignore_index``.

    Returns:
        np.ndarray: (H, W), the ids.

    Raises:
        DataError: If the annotation is missing, unreadable, of another size or has another id.
    """
    path = info.get('seg_map_path')
    if path is None:
        raise DataError('missing', f'{info["img_path"]} has no annotation: its dataset needs data_prefix.seg_map_path')
    check_image(path, what='annotation')
    _check_depth(path, num_classes)
    size = check_image(info['img_path'])
    try:
        label = LoadAnnotations().transform({**info, 'seg_fields': []})['gt_seg_map']
    except (OSError, SyntaxError) as error:
        raise DataError('unreadable', f'unreadable annotation {path}: {error}. Replace the file') from error
    if label.ndim != 2:
        raise DataError(
            'mismatched', f'annotation {path} has shape {label.shape}: it must be an image of class ids, one channel'
        )
    if label.shape != size:
        raise DataError(
            'mismatched',
            f'{info["img_path"]} has height and width {size}, but its annotation {path} has {label.shape}: '
            'both must show the same pixels',
        )
    ignored = info.get('ignore_index', 255)
    wrong = np.unique(label[(label >= num_classes) & (label != ignored)])
    if wrong.size:
        raise DataError(
            'out of range',
            f'annotation {path} has the values {wrong.tolist()}, but ids go from 0 to {num_classes - 1}, and {ignored} '
            'is ignored: correct the file or the number of classes. Where ids start at 1, set reduce_zero_label in '
            'configs, and count 0 as a class for tools',
        )
    return label


def _check_depth(path: str, num_classes: int) -> None:
    """Refuse ids that eight bits, which mmseg reads annotations with, would turn into others; 65535 becomes 255."""
    with Image.open(path) as image:
        if image.mode[0] in 'IF':  # more than eight bits
            raw = np.asarray(image)
            wrong = np.unique(raw[(raw > 255) & (raw != 65535)])
            if wrong.size:
                raise DataError(
                    'out of range',
                    f'annotation {path} has the values {wrong[:8].tolist()} in more than eight bits, but ids go from 0 '
                    f'to {num_classes - 1}, and 255 is ignored: correct the file',
                )


def count_pixels(label: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the pixels of each class, (num_classes,), in the ids of an annotation, uint8."""
    # A fifth of the time of bincount, which training starts with for each of its labels.
    return cv2.calcHist([label], [0], None, [256], [0, 256]).ravel()[:num_classes].astype(int)


class Inspection(NamedTuple):
    """What :func:`inspect` found out of a sample."""

    path: str
    digest: bytes | None = None  # of the image's content
    pixels: np.ndarray | None = None  # of each class
    error: tuple[str, str] | None = None  # kind and message


def inspect(info: dict, num_classes: int | None = None) -> Inspection:
    """Read a sample as a whole, and raise nothing.

    Args:
        info (dict): What an mmseg dataset knows of the sample.
        num_classes (int, optional): Number of classes; without, the annotation is not looked at.
    """
    path = info['img_path']
    try:
        check_image(path, whole=True)
        digest = hashlib.blake2b(Path(path).read_bytes(), digest_size=16).digest()
        pixels = None
        if num_classes is not None:
            label = check_annotation(info, num_classes)
            pixels = count_pixels(label, num_classes)
    except DataError as error:
        return Inspection(path, error=(error.kind, str(error)))
    return Inspection(path, digest, pixels)


def absent_classes(pixels: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Name the classes that no annotation shows.

    Args:
        pixels (np.ndarray): (C,), the number of each class's pixels in all annotations.
        classes (Sequence[str]): Names of the classes.

    Raises:
        ValueError: If all pixels are of one class, from which nothing can be learnt.
    """
    absent = [name for name, count in zip(classes, pixels, strict=True) if not count]
    if len(absent) >= len(classes) - 1 > 0:
        raise ValueError(
            f'no annotation shows {", ".join(absent[:8])}, and all of them one class at most: ids go from 0 to '
            f'{len(classes) - 1} and 255 is ignored, so masks of 0 and 255 must be mapped to 0 and 1'
        )
    return absent


def check_labeled(dataset: BaseSegDataset, name: str, num_classes: int | None = None) -> np.ndarray:
    """Check all images and annotations of a dataset.

    Args:
        dataset (BaseSegDataset): With annotations.
        name (str): What it is, in words.
        num_classes (int, optional): Defaults to that of the dataset.

    Returns:
        np.ndarray: (num_classes,), the number of pixels of each class.

    Raises:
        DataError: See :func:`check_annotation`.
        ValueError: If there is no image.
    """
    infos = data_infos(dataset)
    if not infos:
        raise ValueError(f'{name} has no image: check data_prefix={dataset.data_prefix}, ann_file={dataset.ann_file!r}')
    num_classes = num_classes or len(dataset.metainfo['classes'])
    with ThreadPoolExecutor() as pool:
        return sum(pool.map(lambda info: count_pixels(check_annotation(info, num_classes), num_classes), infos))


def check_unlabeled(dataset: BaseSegDataset) -> None:
    """Check all images of a dataset; annotations are not looked at.

    Raises:
        DataError: See :func:`check_image`.
    """
    with ThreadPoolExecutor() as pool:
        list(pool.map(check_image, [info['img_path'] for info in data_infos(dataset)]))


def reads_annotations(unlabeled: BaseSegDataset) -> bool:
    """Whether the pipeline of unlabelled images reads annotations, to diagnose with or as pseudo labels."""
    steps = unlabeled.pipeline.transforms
    return any(isinstance(step, LoadUnlabeledImage) and step.annotation is not None for step in steps)


def common_images(train: BaseSegDataset, val: BaseSegDataset) -> list[str]:
    """Give the paths of the images that two datasets share, sorted."""
    seen = {Path(info['img_path']).resolve() for info in data_infos(train)}
    return sorted(info['img_path'] for info in data_infos(val) if Path(info['img_path']).resolve() in seen)


def check_disjoint(labeled: BaseSegDataset, val: BaseSegDataset) -> None:
    """Make sure that no image is both trained on with its label and validated on.

    Raises:
        ValueError: Naming one that is.
    """
    both = common_images(labeled, val)
    if both:
        raise ValueError(f'{len(both)} images are in the labelled and in the validation list, such as {both[0]}')


def data_infos(dataset: BaseSegDataset) -> Sequence[dict]:
    """Give what a dataset knows of each of its samples, and its ``ignore_index``."""
    ignored = dict(ignore_index=getattr(dataset, 'ignore_index', 255))
    return [{**dataset.get_data_info(index), **ignored} for index in range(len(dataset))]
