import json

import numpy as np
import pytest
import torch
from mmseg.registry import METRICS
from PIL import Image

from mmseg_semi.evaluation import CalibrationMetric
from mmseg_semi.evaluation.calibration import bin_sums, draw_reliability


def sample(logits, true, label=None):
    label = logits.argmax(0, keepdim=True) if label is None else label
    data = dict(seg_logits=logits, pred_sem_seg=label, gt_sem_seg=true)
    return dict(img_path='a.png', **{key: dict(data=value) for key, value in data.items()})


def samples(seed, count=3, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        true = torch.randint(0, 4, (1, 12, 10), generator=generator)
        logits = scale * torch.randn(4, 12, 10, generator=generator)
        logits.scatter_add_(0, true, torch.full((1, 12, 10), 2.0))
        true[:, 3:5] = 255
        yield sample(logits, true)


def evaluate(batch, **options):
    metric = METRICS.build(dict(type='CalibrationMetric', **options))
    metric.process({}, list(batch))
    return metric.evaluate(len(metric.results))


def reference(batch, num_bins):
    """Both numbers, in percent, pixel by pixel."""
    bins = [[] for _ in range(num_bins)]
    for one in batch:
        logits = one['seg_logits']['data'].double().numpy()
        true = one['gt_sem_seg']['data'][0].numpy()
        prob = np.exp(logits) / np.exp(logits).sum(0)
        for row, column in np.argwhere(true != 255):
            confidence = prob[:, row, column].max()
            right = prob[:, row, column].argmax() == true[row, column]
            index = next(m for m in range(num_bins) if confidence <= (m + 1) / num_bins)
            bins[index].append((confidence, right))
    total = sum(map(len, bins))
    gaps = [np.mean([c for c, _ in content]) - np.mean([r for _, r in content]) for content in bins if content]
    shares = [len(content) / total for content in bins if content]
    return 100 * np.dot(shares, np.abs(gaps)), 100 * np.dot(shares, gaps)


@pytest.mark.parametrize('num_bins', [1, 4, 15])
def test_it_is_the_gap_between_confidence_and_accuracy_averaged_over_bins_of_pixels(num_bins):
    unsure = [sample(one['seg_logits']['data'] / 10, one['gt_sem_seg']['data']) for one in samples(1)]
    batch = [*samples(0), *unsure]
    error, over = reference(batch, num_bins)
    found = evaluate(batch, num_bins=num_bins)
    assert found == {'ECE': pytest.approx(error, abs=0.01), 'overconfidence': pytest.approx(over, abs=0.01)}
    assert over > 1
    assert (num_bins == 1) == (found['ECE'] == pytest.approx(abs(over), abs=0.01))


def test_a_network_that_is_sure_and_right_has_no_error_and_one_that_is_sure_and_wrong_has_all():
    true = torch.randint(0, 3, (1, 8, 8))
    logits = torch.zeros(3, 8, 8).scatter_(0, true, 100.0)
    assert evaluate([sample(logits, true)]) == {'ECE': 0, 'overconfidence': 0}
    assert evaluate([sample(logits, (true + 1) % 3)]) == {'ECE': 100, 'overconfidence': 100}


def test_sharper_logits_make_the_same_prediction_overconfident():
    found = [evaluate(samples(1, scale=scale))['overconfidence'] for scale in (1.0, 3.0)]
    soft = [evaluate([sample(one['seg_logits']['data'] / 10, one['gt_sem_seg']['data']) for one in samples(1)])]
    assert soft[0]['overconfidence'] < 0 < found[1]


def test_a_binary_head_is_judged_by_the_probability_of_the_class_it_predicts_at_any_threshold():
    prob = torch.tensor([[[0.9, 0.4, 0.2, 0.1]]])
    true, label = torch.tensor([[[1, 0, 0, 0]]]), (prob > 0.3).float()
    confidence, right = [0.9, 0.4, 0.8, 0.9], [1, 0, 1, 1]
    found = evaluate([sample(prob, true, label)], num_bins=1)
    assert found['overconfidence'] == pytest.approx(100 * (np.mean(confidence) - np.mean(right)), abs=0.01)


def test_halves_collected_from_two_processes_are_the_whole():
    batch, metric, halves = list(samples(2, count=4)), CalibrationMetric(), []
    for part in (batch[::2], batch[1::2]):
        metric.process({}, part)
        halves.append(list(metric.results))
        metric.results.clear()
    assert [tuple(result.shape) for result in halves[0]] == [(3, 15)] * 2  # sums, not pixels
    assert metric.compute_metrics(halves[0] + halves[1]) == evaluate(batch)


def test_the_diagram_and_its_numbers_are_written(tmp_path):
    out = tmp_path / 'new' / 'reliability.png'
    batch = list(samples(3))
    metrics = evaluate(batch, num_bins=5, out_file=str(out))
    written = json.loads(out.with_suffix('.json').read_text())
    bins = written.pop('bins')
    assert written == metrics
    assert sum(bins['count']) == 3 * 10 * 10
    assert bins['count'][0] == 0
    assert bins['accuracy'][0] is None  # of four classes, the best has at least 1/4
    gaps = [abs(a - c) for a, c in zip(bins['accuracy'][1:], bins['mean_confidence'][1:], strict=True)]
    assert np.dot(gaps, bins['count'][1:]) / 300 * 100 == pytest.approx(metrics['ECE'], abs=0.01)
    assert np.asarray(Image.open(out)).std() > 10
    assert sorted(path.name for path in out.parent.iterdir()) == ['reliability.json', 'reliability.png']


def test_the_diagram_shows_accuracy_the_gap_to_confidence_and_the_share_of_pixels_of_each_bin():
    confidence, right = torch.tensor([0.1, 0.7, 0.9, 0.9]), torch.tensor([True, True, True, False])
    above, below = draw_reliability(bin_sums(confidence, right, 4)).axes
    heights = [bar.get_height() for bar in above.patches]
    assert heights[:4] == pytest.approx([1, 0, 1, 0.5])
    assert heights[4:] == pytest.approx([-0.9, 0, -0.3, 0.4], abs=1e-6)
    assert [bar.get_y() for bar in above.patches[4:]] == pytest.approx([1, 0, 1, 0.5])
    assert [bar.get_x() for bar in above.patches] == [0, 0.25, 0.5, 0.75] * 2
    assert [bar.get_height() for bar in below.patches] == pytest.approx([0.25, 0, 0.25, 0.5])


def test_a_prediction_without_probabilities_says_what_to_do():
    (one,) = samples(4, count=1)
    one.pop('seg_logits')
    with pytest.raises(ValueError, match=r'prediction for a.png has no seg_logits.*ProbabilisticSegTTAModel'):
        evaluate([one])


def test_options_that_make_no_sense_are_named():
    with pytest.raises(ValueError, match='num_bins=0'):
        CalibrationMetric(num_bins=0)
    with pytest.raises(ValueError, match=r"out_file='a.docx' must end in one of .*png"):
        CalibrationMetric(out_file='a.docx')
