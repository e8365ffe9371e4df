import copy

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample

from mmseg_semi.models import SemiDataPreprocessor, UnlabeledViews

BASE = dict(type='SegDataPreProcessor', mean=[1.0, 2, 3], std=[4.0, 5, 6], bgr_to_rgb=True, size=(12, 16))


def sample(height, width, **maps):
    maps = {name: PixelData(data=torch.full((1, height, width), value)) for name, value in maps.items()}
    return torch.randint(0, 255, (3, height, width), dtype=torch.uint8), SegDataSample(**maps)


def batch(*samples):
    inputs, data_samples = zip(*samples, strict=True)
    return dict(inputs=list(inputs), data_samples=list(data_samples))


def test_each_view_is_prepared_as_the_wrapped_preprocessor_would():
    views = {
        'labeled': batch(sample(12, 16, gt_sem_seg=1), sample(8, 10, gt_sem_seg=1)),
        'weak': batch(sample(12, 16, valid_map=0), sample(10, 9, valid_map=0)),
    }
    data = {key: {name: view[key] for name, view in copy.deepcopy(views).items()} for key in views['weak']}
    prepared = SemiDataPreprocessor(BASE)(data, training=True)
    plain = SegDataPreProcessor(**{key: value for key, value in BASE.items() if key != 'type'})
    for name, view in views.items():
        expected = plain(view, training=True)
        assert torch.equal(prepared['inputs'][name], expected['inputs'])
    assert prepared['data_samples']['labeled'][1].gt_sem_seg.data.unique().tolist() == [1, 255]


def test_padding_is_neither_valid_nor_pasted():
    view = batch(sample(10, 9, valid_map=0, cutmix_region=2), sample(12, 16, valid_map=0, cutmix_region=0))
    data = SemiDataPreprocessor(BASE)({key: {'weak': value} for key, value in view.items()}, training=True)
    views = UnlabeledViews.gather(data['inputs'], data['data_samples'])
    inside = torch.zeros(12, 16, dtype=torch.bool)
    inside[:10, :9] = True
    assert torch.equal(views.weak.valid[0], inside)
    assert torch.equal(views.weak.region[0] == 2, inside)
    assert views.weak.valid[1].all()


def test_a_plain_batch_passes_through_the_wrapped_preprocessor():
    view = batch(sample(12, 16, gt_sem_seg=0))
    prepared = SemiDataPreprocessor(BASE)(view)
    assert prepared['inputs'].shape == (1, 3, 12, 16)


def test_a_view_that_the_pipeline_does_not_make_is_named():
    view = batch(sample(12, 16, valid_map=0))
    data = SemiDataPreprocessor(BASE)({key: {'weak': value} for key, value in view.items()}, training=True)
    views = UnlabeledViews.gather(data['inputs'], data['data_samples'])
    with pytest.raises(AttributeError, match=r"no view named 'strong', only \['weak'\]"):
        _ = views.strong
