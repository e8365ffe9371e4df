import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope

from mmseg_semi.datasets import MultiView, RandomCutMixRegion


def region(shape=(40, 60), **options):
    return RandomCutMixRegion(**options).transform(dict(img_shape=shape))['cutmix_region']


@pytest.mark.parametrize('num_boxes', [1, 2, 3, 8, 32, 64])
@pytest.mark.parametrize('shape', [(8, 8), (24, 24), (96, 160), (321, 200)])
def test_the_covered_share_averages_the_asked_one(num_boxes, shape):
    np.random.seed(0)
    pixel = 1 / np.prod(shape)
    draws = 200 if pixel > 0.01 else 12
    for area in (0.3, 0.5):
        share = np.mean([(region(shape, num_boxes=num_boxes, area=area) > 0).mean() for _ in range(draws)])
        assert share == pytest.approx(area, abs=max(0.02, 2 * pixel))


def test_a_range_of_shares_is_drawn_from():
    np.random.seed(0)
    shares = [(region((100, 100), num_boxes=1, area=(0.1, 0.4)) > 0).mean() for _ in range(60)]
    assert 0.09 < min(shares) < 0.16
    assert 0.34 < max(shares) < 0.41


def test_boxes_are_rectangles_that_later_ones_cover_and_the_last_shows_whole():
    np.random.seed(1)
    for _ in range(20):
        drawn = region(num_boxes=6)
        assert drawn.max() == 6
        rows, columns = np.nonzero(drawn == 6)
        assert (drawn[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == 6).all()


def test_sizes_aspects_and_positions_vary():
    np.random.seed(2)
    boxes = []
    for _ in range(30):
        rows, columns = np.nonzero(region((100, 100), num_boxes=1) == 1)
        boxes.append((np.ptp(rows) + 1, np.ptp(columns) + 1, rows.min(), columns.min()))
    assert (np.std(boxes, axis=0) > 3).all()


def test_nothing_is_pasted_with_probability_zero():
    assert not region(prob=0.0).any()


@pytest.mark.parametrize('options', [dict(num_boxes=0), dict(num_boxes=256), dict(area=0), dict(area=(0.5, 0.2)),
                                     dict(aspect_ratio=(0, 1)), dict(prob=1.5)])  # fmt: skip
def test_arguments_out_of_range_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        RandomCutMixRegion(**options)


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmseg')


@pytest.fixture
def image_path(tmp_path):
    path = str(tmp_path / 'image.png')
    cv2.imwrite(path, np.random.default_rng(0).integers(1, 255, (30, 40, 3), dtype=np.uint8))
    return path


def run(path, *steps):
    return Compose([dict(type='LoadUnlabeledImage'), *steps])(dict(img_path=path, seg_fields=[]))


@pytest.mark.parametrize(
    'step',
    [
        dict(type='Pad', size=(50, 50), pad_val=dict(img=0, seg=255)),
        dict(type='RandomRotate', prob=1.0, degree=(30, 30), pad_val=0, seg_pad_val=255),
        dict(type='RandomRotate', prob=1.0, degree=(30, 30), pad_val=0, seg_pad_val=0),
        dict(type='RandomRotFlip', rotate_prob=1.0, flip_prob=0.0, degree=(30, 30)),
    ],
)
def test_pixels_that_a_transform_fills_do_not_count(image_path, step):
    packed = run(image_path, step, dict(type='MultiView', weak=[]))
    filled = (packed['inputs']['weak'] == 0).all(dim=0)
    assert filled.any()
    agree = (packed['data_samples']['weak'].valid_map.data[0] != 0) == filled
    assert agree.float().mean() > 0.95  # rotation interpolates pixels at the edge


def test_views_share_geometry_and_maps_and_differ_in_their_own_pipelines(image_path):
    np.random.seed(0)
    torch.manual_seed(0)
    packed = run(
        image_path,
        dict(type='RandomCrop', crop_size=(20, 24)),
        dict(type='RandomFlip', prob=0.5),
        dict(type='RandomCutMixRegion', num_boxes=3),
        dict(type='MultiView', weak=[], strong=[dict(type='StrongPhotometric', jitter_prob=1.0)], same=[]),
    )
    inputs, samples = packed['inputs'], packed['data_samples']
    assert torch.equal(inputs['weak'], inputs['same'])
    assert not torch.equal(inputs['weak'], inputs['strong'])
    assert {tuple(view.shape) for view in inputs.values()} == {(3, 20, 24)}
    for name in ('valid_map', 'cutmix_region'):
        assert torch.equal(samples['weak'].get(name).data, samples['strong'].get(name).data)
    assert samples['weak'].cutmix_region.data.max() == 3


@pytest.mark.parametrize('step', [dict(type='Pad', size=(50, 50)), dict(type='CenterCrop', crop_size=(20, 20))])
def test_a_map_that_a_transform_left_behind_is_refused(image_path, step):
    load = dict(type='LoadUnlabeledImage', pseudo_label=True)
    label = image_path.replace('image', 'label')
    cv2.imwrite(label, np.zeros((30, 40), np.uint8))
    results = dict(img_path=image_path, seg_map_path=label, seg_fields=[], reduce_zero_label=False, label_map=None)
    with pytest.raises(ValueError, match=r'its pseudo_label \(30, 40\): a transform changed the image alone'):
        Compose([load, step, dict(type='MultiView', weak=[])])(results)


@pytest.mark.parametrize('step', [
    dict(type='RandomFlip', prob=1.0), dict(type='RandomRotate', prob=1.0, degree=(30, 30)),
    dict(type='Resize', scale=(60, 60)), dict(type='RandomCrop', crop_size=(20, 20)),
])  # fmt: skip
def test_a_view_that_moves_pixels_alone_is_refused(image_path, step):
    with pytest.raises(ValueError, match="the view 'strong' moves pixels, which nothing else follows: put geometry be"):
        run(image_path, dict(type='RandomFlip', prob=1.0), dict(type='MultiView', weak=[], strong=[step]))


def test_a_multi_view_without_views_is_refused():
    with pytest.raises(ValueError, match='at least one view'):
        MultiView()
