import pytest
import torch
from conftest import binary
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_semi.evaluation import CalibrationMetric


def views(count, channels, size=(8, 6)):
    """Predictions of views of one image, as a segmentor gives them."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        logits = 3 * torch.randn(channels, *size, generator=generator)
        logits = logits.sigmoid() if channels == 1 else logits
        label = (logits > 0.5).float() if channels == 1 else logits.argmax(0, keepdim=True)
        view = SegDataSample(metainfo=dict(img_path='a.png'))
        view.gt_sem_seg = PixelData(data=torch.ones(1, *size, dtype=torch.long))
        view.set_data(dict(seg_logits=PixelData(data=logits), pred_sem_seg=PixelData(data=label)))
        yield view


def merged(cfg, predictions, name='ProbabilisticSegTTAModel'):
    return MODELS.build(dict(type=name, module=cfg.model)).merge_preds([predictions])[0]


def test_the_softmax_of_the_merged_logits_is_the_average_of_the_views_softmax(tiny_config):
    expected = torch.stack([view.seg_logits.data.softmax(0) for view in views(3, 8)]).mean(0)
    found = merged(tiny_config(), list(views(3, 8)))
    torch.testing.assert_close(found.seg_logits.data.softmax(0), expected)
    assert torch.equal(found.pred_sem_seg.data, expected.argmax(0, keepdim=True))
    assert found.img_path == 'a.png'
    assert found.gt_sem_seg.shape == (8, 6)


def test_a_binary_heads_probabilities_are_averaged_and_not_squashed_again(tiny_config):
    expected = torch.stack([view.seg_logits.data for view in views(3, 1)]).mean(0)
    found = merged(tiny_config(segmentor=binary()), list(views(3, 1)))
    torch.testing.assert_close(found.seg_logits.data, expected)
    assert torch.equal(found.pred_sem_seg.data, (expected > 0.5).float())
    assert 0 < found.pred_sem_seg.data.mean() < 1


@pytest.mark.parametrize('channels', [8, 1])
def test_calibration_of_merged_predictions_is_that_of_the_averaged_probabilities(tiny_config, channels):
    cfg = tiny_config(segmentor=binary() if channels == 1 else None)
    metric = CalibrationMetric(num_bins=1)
    metric.process({}, [merged(cfg, list(views(3, channels))).to_dict()])
    logits = torch.stack([view.seg_logits.data for view in views(3, channels)])
    prob = (torch.cat([1 - logits, logits], dim=1) if channels == 1 else logits.softmax(1)).mean(0)
    expected = 100 * (prob.amax(0).mean() - (prob.argmax(0) == 1).float().mean()).item()
    assert metric.evaluate(1)['overconfidence'] == pytest.approx(expected, abs=0.01)


def test_mmsegs_own_merging_is_refused_rather_than_judged_by_its_last_view(tiny_config):
    prediction = merged(tiny_config(), list(views(3, 8)), 'SegTTAModel').to_dict()
    with pytest.raises(ValueError, match=r"not the best class of its own seg_logits.*type='ProbabilisticSegTTAModel'"):
        CalibrationMetric().process({}, [prediction])
