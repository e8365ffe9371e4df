"""Where the feature cells of two overlapping crops show the same pixels, flips undone.

Shape letters: B images, h x w feature cells of a crop, n cells that two crops share.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.structures import SegDataSample
from torch import Tensor

Cells = tuple[Tensor, Tensor, Tensor]

# Bits for the row and for the column of a cell in an id: enough for any image.
_BITS = 16


def overlap_cells(first: Sequence[SegDataSample], second: Sequence[SegDataSample], stride: int) -> tuple[Cells, Cells]:
    """Pair the feature cells of two views that show the same pixels.

    Args:
        first (Sequence[SegDataSample]): B data samples of one crop of each image, as :class:`PairedRandomCrop` and
            :class:`MultiView` make them, flipped or not.
        second (Sequence[SegDataSample]): The same of the other crop.
        stride (int): Pixels of a feature cell's side.

    Returns:
        tuple[Cells, Cells]: For each view, (n,) images, rows and columns of its feature map. Cells that hold padding,
        or pixels that a transform filled, are left out.

    Raises:
        ValueError: If the stride does not divide the crops or what they share, or nobody says what they share.

    Example:
        >>> (b, y, x), (_, v, u) = overlap_cells(samples['crop1'], samples['crop2'], stride=8)
        >>> anchor, positive = feature1[b, :, y, x], feature2[b, :, v, u]
    """
    cells, counts = [], []
    for image, samples in enumerate(zip(first, second, strict=True)):
        rows_columns, valid = [], True
        for sample in samples:
            rows, columns = _unflip(sample, stride)
            top, left, bottom, right = (side // stride for side in sample.overlap)
            y, x = torch.meshgrid(rows[top:bottom], columns[left:right], indexing='ij')
            filled = F.max_pool2d((sample.valid_map.data != 0).float(), stride)[0]
            rows_columns += [y, x]
            valid = valid & (filled[y, x] == 0)
        cells.append(torch.stack([torch.full_like(y, image), *rows_columns]).flatten(1))
        counts.append(valid.flatten())
    image, y1, x1, y2, x2 = torch.cat(cells, dim=1)[:, torch.cat(counts)]
    return (image, y1, x1), (image, y2, x2)


def cell_ids(samples: Sequence[SegDataSample], stride: int, first_image: int = 0) -> Tensor:
    """Name the place in its original image that each feature cell of a view shows.

    Args:
        samples (Sequence[SegDataSample]): B data samples, as in :func:`overlap_cells`.
        stride (int): Pixels of a feature cell's side.
        first_image (int): Number of the first image, such as B times the rank. Defaults to 0.

    Returns:
        Tensor: (B, h, w) int64, never negative. Two cells of any views of these images have one id exactly if they
        show the same place.

    Raises:
        ValueError: If the stride does not divide a crop or its place.
    """
    ids = []
    for image, sample in enumerate(samples, start=first_image):
        rows, columns = _unflip(sample, stride)
        top, left = (side // stride for side in sample.crop_offset)
        ids.append((((image << _BITS) + top + rows[:, None]) << _BITS) + left + columns)
    return torch.stack(ids)


def _unflip(sample: SegDataSample, stride: int) -> tuple[Tensor, Tensor]:
    """Give the row and the column of the crop that each (h,) row and (w,) column of its feature map shows.

    A flip is its own inverse: read the other way round, they tell where a row or column of the crop went.
    """
    if 'overlap' not in sample:
        raise ValueError('the unlabelled pipeline does not say how its crops overlap: put a PairedRandomCrop into it')
    if any(side % stride for side in (*sample.img_shape, *sample.overlap, *sample.crop_offset)):
        raise ValueError(
            f'a feature stride of {stride} does not divide the crops of {tuple(sample.img_shape)} pixels at '
            f"{sample.crop_offset}, or their overlap: set PairedRandomCrop's stride to a multiple of it, and its "
            'crop_size to a multiple of that'
        )
    device = sample.valid_map.data.device
    rows, columns = (torch.arange(side // stride, device=device) for side in sample.img_shape)
    direction = sample.get('flip_direction')
    return (
        rows.flip(0) if direction in ('vertical', 'diagonal') else rows,
        columns.flip(0) if direction in ('horizontal', 'diagonal') else columns,
    )
