from collections import Counter

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope

from mmseg_semi.datasets import MultiView, PairedRandomCrop


def coded(height, width):
    """Make an image whose pixels tell where they are."""
    y, x = np.mgrid[:height, :width]
    code = y * width + x + 1
    return np.stack([code % 256, code // 256 % 256, code // 65536], axis=-1).astype(np.uint8)


def crop(height, width, *args, **options):
    results = dict(img=coded(height, width), gt_seg_map=np.ones((height, width), np.uint8))
    return PairedRandomCrop(*args, **options).transform(results)['crops']


def iou(first, second, size):
    inter = np.prod([max(side - abs(a - b), 0) for side, a, b in zip(size, first, second, strict=True)])
    return inter / (2 * np.prod(size) - inter)


def shared(view):
    top, left, bottom, right = view['overlap']
    return view['img'][top:bottom, left:right], view['gt_seg_map'][top:bottom, left:right]


def test_for_any_image_crop_and_range_the_overlaps_show_the_same_pixels_and_the_iou_is_in_range():
    np.random.seed(0)
    built = outside = padded = 0
    while built < 300:
        stride = int(np.random.choice([1, 2, 4, 8]))
        size = tuple((stride * np.random.randint(1, 13, 2)).tolist())
        height, width = np.random.randint(max(stride, 5), 150, 2).tolist()
        low, high = np.sort(np.random.random(2))
        try:
            transform = PairedRandomCrop(size, stride, (low, high))
        except ValueError:  # a range between two IoUs that whole cells allow
            continue
        built += 1
        results = dict(img=coded(height, width), gt_seg_map=np.ones((height, width), np.uint8))
        first, second = transform.transform(results)['crops']
        expected = iou(first['crop_offset'], second['crop_offset'], size)
        for view in (first, second):
            assert view['img'].shape == (*size, 3)
            assert view['gt_seg_map'].shape == view['img_shape'] == size
            assert all(side % stride == 0 for side in (*view['crop_offset'], *view['overlap']))
            assert view['crop_iou'] == pytest.approx(expected)
            assert view['iou_in_range'] == (low <= expected <= high)
        outside += not first['iou_in_range']
        padded += (first['gt_seg_map'] == 255).any()

        (one, its_map), (other, others_map) = shared(first), shared(second)
        assert (one == other).all()
        assert one.any(axis=-1).all()
        assert (its_map == 1).all()
        assert (others_map == 1).all()
        # All that both crops show of whole cells of the image is compared.
        top, left = np.maximum(first['crop_offset'], second['crop_offset'])
        bottom, right = np.minimum(first['crop_offset'], second['crop_offset']) + np.array(size)
        bottom, right = min(bottom, height // stride * stride), min(right, width // stride * stride)
        assert one.shape[:2] == (bottom - top, right - left)
    assert outside > 10
    assert padded > 10


def test_every_pair_of_places_in_the_range_is_equally_likely():
    np.random.seed(0)
    size, stride, bounds = (4, 6), 2, (0.2, 0.7)
    transform = PairedRandomCrop(size, stride, bounds)
    places = [(y, x) for y in range(0, 5, 2) for x in range(0, 7, 2)]  # of an image of 9 x 12 pixels
    possible = {(a, b) for a in places for b in places if bounds[0] <= iou(a, b, size) <= bounds[1]}
    drawn = Counter()
    draws = 60 * len(possible)
    image, valid_map = coded(9, 12), np.ones((9, 12), np.uint8)
    for _ in range(draws):
        first, second = transform.transform(dict(img=image, gt_seg_map=valid_map))['crops']
        drawn[first['crop_offset'], second['crop_offset']] += 1
    assert drawn.keys() == possible
    chi_squared = sum((number - 60) ** 2 / 60 for number in drawn.values())
    assert chi_squared < len(possible) + 4 * (2 * len(possible)) ** 0.5


def test_an_image_that_is_too_small_for_the_range_gets_the_nearest_iou_and_says_so():
    for first, second in (crop(40, 32, 32, 8, (0.1, 0.3)), crop(40, 20, 32, 8, (0.1, 0.3))):
        assert first['crop_iou'] == second['crop_iou'] == pytest.approx(0.6)
        assert [first['iou_in_range'], second['iou_in_range']] == [False, False]
    first, second = crop(10, 20, 32, 8)
    assert first['crop_iou'] == 1
    assert first['iou_in_range']
    assert first['overlap'] == second['overlap'] == (0, 0, 8, 16)
    assert first['gt_seg_map'][:10, :20].max() == 1
    assert first['gt_seg_map'][10:].min() == first['gt_seg_map'][:, 20:].min() == 255
    assert first['img'][10:].max() == 0
    assert (crop(10, 20, 32, 8, pad_val=(1, 2, 3))[0]['img'][-1, -1] == (1, 2, 3)).all()


def test_an_image_smaller_than_a_cell_has_no_overlap_to_compare():
    first, second = crop(5, 40, 32, 8)
    assert first['overlap'][::2] == second['overlap'][::2] == (0, 0)


def test_the_range_of_one_takes_the_same_crop_twice():
    for _ in range(5):
        first, second = crop(100, 90, (32, 16), 8, (1.0, 1.0))
        assert first['crop_offset'] == second['crop_offset']
        assert first['overlap'] == (0, 0, 32, 16)


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(crop_size=321), r'stride=8 does not divide crop_size=\(321, 321\)'),
        (dict(crop_size=(32, 30), stride=16), r'stride=16 does not divide crop_size=\(32, 30\)'),
        (dict(crop_size=32, stride=0), 'stride=0'),
        (dict(crop_size=32, iou_range=(0.5, 0.2)), r'iou_range=\(0\.5, 0\.2\)'),
        (dict(crop_size=32, iou_range=(0.5, 1.2)), r'iou_range=\(0\.5, 1\.2\)'),
        (
            dict(crop_size=32, iou_range=(0.7, 0.95)),
            r'no two.*multiples of 8.*\(0\.7, 0\.95\).*nearest is 1\.000',
        ),
        (dict(crop_size=32, iou_range=(0.0, 0.01)), r'no two crops.*nearest is 0\.032'),
    ],
)
def test_what_no_image_could_satisfy_is_refused_when_it_is_built(options, named):
    with pytest.raises(ValueError, match=named):
        PairedRandomCrop(**options)


def test_each_view_starts_from_its_crop_and_its_own_flip_moves_its_map():
    init_default_scope('mmseg')
    np.random.seed(0)
    pipeline = Compose(
        [
            dict(type='RandomFlip', prob=1.0, direction='vertical'),
            dict(type='PairedRandomCrop', crop_size=32, stride=8),
            dict(
                type='MultiView',
                meta_keys=(),
                crop1=[dict(type='RandomFlip', prob=1.0, direction='horizontal')],
                crop2=[dict(type='StrongPhotometric', jitter_prob=1.0)],
            ),
        ]
    )
    results = dict(
        img=coded(50, 20), gt_seg_map=np.ones((50, 20), np.uint8), seg_fields=['gt_seg_map'], img_shape=(50, 20)
    )
    packed = pipeline(results)
    one, two = (packed['data_samples'][name] for name in ('crop1', 'crop2'))
    assert (one.flip_direction, two.flip_direction) == ('horizontal', None)
    assert one.valid_map.data[0, 0].tolist() == 12 * [255] + 20 * [0]
    assert two.valid_map.data[0, 0].tolist() == 20 * [0] + 12 * [255]
    assert tuple(packed['inputs']['crop1'].shape) == (3, 32, 32)
    assert not packed['inputs']['crop1'][:, :, :12].any()
    assert one.crop_iou == two.crop_iou
    assert one.iou_in_range


FLIP = dict(type='RandomFlip', prob=1.0)


@pytest.mark.parametrize('steps', [
    [FLIP, dict(FLIP, direction='vertical')], [FLIP, dict(FLIP, prob=0.0)],
    [dict(type='RandomRotate', prob=1.0, degree=(90.0, 90.0))], [dict(type='RandomCrop', crop_size=(24, 24))],
])  # fmt: skip
def test_what_moves_the_pixels_of_a_crop_otherwise_than_by_one_flip_is_refused(steps):
    init_default_scope('mmseg')
    results = dict(img=coded(50, 40), gt_seg_map=np.ones((50, 40), np.uint8), img_shape=(50, 40), flip=False)
    results = PairedRandomCrop(32).transform({**results, 'seg_fields': ['gt_seg_map']})
    with pytest.raises(ValueError, match=r"the view 'crop2' moves pixels, .* may have one RandomFlip"):
        MultiView(crop1=[FLIP], crop2=steps).transform(results)


def test_a_hole_in_a_crop_counts_as_padding_and_moves_nothing():
    init_default_scope('mmseg')
    results = dict(img=coded(50, 40), gt_seg_map=np.ones((50, 40), np.uint8), img_shape=(50, 40), flip=False)
    results = PairedRandomCrop(32).transform({**results, 'seg_fields': ['gt_seg_map']})
    hole = dict(type='RandomCutOut', prob=1.0, n_holes=1, cutout_shape=(16, 16), fill_in=(0, 0, 0), seg_fill_in=255)
    packed = MultiView(crop1=[FLIP], crop2=[hole, FLIP]).transform(results)
    dark = (packed['inputs']['crop2'] == 0).all(dim=0)
    assert dark.any()
    assert torch.equal(packed['data_samples']['crop2'].valid_map.data[0] == 255, dark)


def test_as_many_views_as_crops_are_asked_for():
    results = dict(img=coded(50, 40), gt_seg_map=np.ones((50, 40), np.uint8))
    results = PairedRandomCrop(32).transform(results)
    with pytest.raises(ValueError, match=r"2 crops for the views \['weak'\]"):
        MultiView(weak=[]).transform(results)


def test_padding_of_another_number_of_channels_is_refused():
    with pytest.raises(ValueError, match=r'pad_val=\(1, 2, 3\), but images have 1 channels: set it to 0'):
        PairedRandomCrop(32, pad_val=(1, 2, 3)).transform(dict(img=np.zeros((20, 20), np.uint8)))
