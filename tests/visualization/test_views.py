import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_semi.visualization import draw_samples

PALETTE = [[200, 0, 0], [0, 200, 0]]


def sample(**views):
    packed = dict(inputs={}, data_samples={})
    for view, maps in views.items():
        packed['inputs'][view] = torch.stack([torch.full((4, 6), value, dtype=torch.uint8) for value in (10, 20, 30)])
        data = {key: PixelData(data=torch.as_tensor(field)[None]) for key, field in maps.items()}
        packed['data_samples'][view] = SegDataSample(**data)
    return packed


def test_an_annotation_is_laid_over_the_image_where_it_counts():
    label = np.full((4, 6), 255)
    label[0] = 1
    (pictures,) = draw_samples([sample(labeled=dict(gt_sem_seg=label))], PALETTE)
    assert list(pictures) == ['labeled', 'labeled: annotation']
    assert pictures['labeled'][0, 0].tolist() == [30, 20, 10]  # RGB of an input that is BGR
    assert pictures['labeled: annotation'][0, 0].tolist() == [15, 110, 5]
    assert pictures['labeled: annotation'][1, 0].tolist() == [30, 20, 10]


def test_pixels_that_do_not_count_are_black():
    valid = np.zeros((4, 6), int)
    valid[:, 5] = 255
    picture = draw_samples([sample(weak=dict(valid_map=valid))], PALETTE)[0]['weak']
    assert (picture[:, 5] == 0).all()
    assert (picture[:, 4] > 0).all()


def test_a_region_that_views_share_is_drawn_once_and_one_that_they_do_not_twice():
    region = np.zeros((4, 6), int)
    region[1:3, 2:4] = 1
    shared, other = dict(cutmix_region=region), dict(cutmix_region=np.roll(region, 1, axis=1))
    alike, apart = sample(a=shared, b=shared), sample(a=shared, b=other)
    titles = {
        name: [list(pictures) for pictures in draw_samples(samples, PALETTE)]
        for name, samples in dict(alike=[alike], apart=[apart], both=[alike, apart]).items()
    }
    all_drawn = ['a', 'b', 'a: cutmix_region', 'b: cutmix_region']
    assert titles == dict(alike=[['a', 'b', 'b: cutmix_region']], apart=[all_drawn], both=[all_drawn, all_drawn])
