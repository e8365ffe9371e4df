import copy

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample

from mmseg_semi.datasets import SampleIndex, semi_collate
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


@pytest.mark.parametrize('maps', [dict(valid_map=0), {}], ids=['a map', 'no map'])
def test_padding_is_neither_valid_nor_pasted(maps):
    view = batch(sample(10, 9, cutmix_region=2, **maps), sample(12, 16, cutmix_region=0, **maps))
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


@pytest.mark.parametrize('method', ['UniMatch', 'ContextAwareConsistency'])
def test_colours_are_the_same_on_the_device_as_in_the_workers(tiny_config, method):
    cfg, prepared = tiny_config(method), []
    views = cfg.train_dataloader.dataset.unlabeled.pipeline[-1]
    for on_device in (False, True):
        for view, steps in views.items():
            if view not in ('type', 'weak'):
                steps[-1].on_device = on_device
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        data = semi_collate([dataset[SampleIndex(index, seed=7 * index)] for index in range(4, 10)])
        given = copy.deepcopy(data['inputs'])
        preprocessor = SemiDataPreprocessor(dict(type='SegDataPreProcessor', size=(32, 32)))
        prepared.append(preprocessor(data, training=True)['inputs'])
    changed = {name: not torch.equal(image, torch.stack(given[name]).float()) for name, image in prepared[1].items()}
    assert changed == {name: name != 'weak' for name in changed}
    for name, image in prepared[0].items():
        assert (image - prepared[1][name]).abs().max() <= 1
        assert (image != prepared[1][name]).float().mean() < 1e-3
