import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope

from mmseg_semi.datasets import semi_collate
from mmseg_semi.models import SemiDataPreprocessor, cell_ids, overlap_cells

STRIDE = 4
PLAIN = dict(type='SegDataPreProcessor', mean=[0.0] * 3, std=[1.0] * 3, bgr_to_rgb=False, size=(44, 40))


def batch(*sizes, seed=0, corner=0, iou_range=(0.1, 1.0)):
    """Crop, flip and collate images whose channels tell row, column and image; a corner may be filled."""
    np.random.seed(seed)
    init_default_scope('mmseg')
    flip = [dict(type='RandomFlip', prob=[0.3, 0.3, 0.3], direction=['horizontal', 'vertical', 'diagonal'])]
    pipeline = Compose(
        [
            dict(type='PairedRandomCrop', crop_size=(40, 32), stride=8, iou_range=iou_range),
            dict(type='MultiView', crop1=flip, crop2=flip),
        ]
    )
    samples = []
    for number, (height, width) in enumerate(sizes):
        y, x = np.mgrid[:height, :width]
        image = np.stack([y + 1, x + 1, np.full_like(y, number + 1)], axis=-1).astype(np.uint8)
        valid_map = np.ones((height, width), np.uint8)
        valid_map[:corner, :corner] = 255
        samples.append(pipeline(dict(img=image, gt_seg_map=valid_map, seg_fields=['gt_seg_map'])))
    data = SemiDataPreprocessor(PLAIN)(semi_collate(samples), training=True)
    # A feature cell tells the first pixel that it shows, whichever way it is flipped.
    cells = {name: -F.max_pool2d(-image, STRIDE) for name, image in data['inputs'].items()}
    return cells['crop1'], cells['crop2'], data['data_samples']['crop1'], data['data_samples']['crop2']


SIZES = [(90, 100), (40, 60), (30, 80), (70, 25), (20, 20)]


@pytest.mark.parametrize('seed', range(10))
def test_features_at_the_cells_of_the_overlap_come_from_the_same_pixels(seed):
    one, two, first, second = batch(*SIZES, seed=seed)
    (b, y, x), (c, v, u) = overlap_cells(first, second, STRIDE)
    here, there = one[b, :, y, x], two[c, :, v, u]
    assert torch.equal(here, there)
    assert (here > 0).all()
    assert len(here.unique(dim=0)) == len(here)
    for image, sample in enumerate(first):
        top, left, bottom, right = sample.overlap
        assert (b == image).sum() * STRIDE**2 == (bottom - top) * (right - left)


@pytest.mark.parametrize('seed', range(5))
def test_cells_have_one_id_exactly_if_they_show_the_same_place(seed):
    one, two, first, second = batch(*SIZES, seed=seed)
    ids = [cell_ids(samples, STRIDE) for samples in (first, second)]
    (b, y, x), (c, v, u) = overlap_cells(first, second, STRIDE)
    assert torch.equal(ids[0][b, y, x], ids[1][c, v, u])
    places = torch.cat([view[:, :, :10, :8].movedim(1, -1).flatten(0, -2) for view in (one, two)])
    number = torch.cat([view.flatten() for view in ids])
    shown = (places > 0).all(dim=1)
    named = torch.cat([places.long(), number[:, None]], dim=1)[shown]
    assert len(named.unique(dim=0)) == len(named[:, :-1].unique(dim=0)) == len(named[:, -1].unique())


def test_ids_of_other_ranks_differ():
    *_, first, _ = batch(*SIZES)
    mine, others = cell_ids(first, STRIDE), cell_ids(first, STRIDE, first_image=len(first))
    assert min(mine.min(), others.min()) >= 0
    assert not torch.isin(mine, others).any()


def test_cells_with_filled_pixels_are_left_out():
    one, _, first, second = batch((60, 60), corner=30, iou_range=(1.0, 1.0), seed=3)
    (b, y, x), _ = overlap_cells(first, second, STRIDE)
    place = one[b, :, y, x][:, :2]
    assert 0 < len(place) < 80
    assert (place > 28).any(dim=1).all()


def test_no_common_cell_gives_empty_indices():
    one, two, first, second = batch((7, 60))
    (b, y, x), (c, v, u) = overlap_cells(first, second, 8)
    assert one[b, :, y, x].shape == two[c, :, v, u].shape == (0, 3)


def test_a_stride_that_does_not_divide_the_crops_is_refused():
    *_, first, second = batch((60, 60))
    with pytest.raises(ValueError, match=r'stride of 16 does not divide.*\(40, 32\)'):
        overlap_cells(first, second, 16)
    with pytest.raises(ValueError, match='stride of 16'):
        cell_ids(first, 16)
