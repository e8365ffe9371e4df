import numpy as np
import pytest
import torch
from mmseg.registry import METRICS

from mmseg_semi.evaluation import BoundaryIoUMetric

CLASSES = ('road', 'car', 'sky')


def maps(seed, count=3, size=(30, 40), ignored=True):
    """True and predicted label maps of blocks, the prediction shifted and with wrong pixels."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        true = np.kron(rng.integers(0, 3, (3, 4)), np.ones((10, 10), int))[: size[0], : size[1]]
        pred = np.roll(true, rng.integers(0, 4, 2), axis=(0, 1))
        wrong = rng.random(size) < 0.02
        pred[wrong] = rng.integers(0, 3, wrong.sum())
        if ignored:
            true[5:12, 8:15] = 255
        yield true, pred


def sample(true, pred):
    return dict(gt_sem_seg=dict(data=torch.tensor(true)[None]), pred_sem_seg=dict(data=torch.tensor(pred)[None]))


def evaluate(pairs, **options):
    metric = METRICS.build(dict(type='BoundaryIoUMetric', **options))
    metric.dataset_meta = dict(classes=CLASSES)
    for pair in pairs:
        metric.process({}, [sample(*pair)])
    return metric.evaluate(len(metric.results))


def near_another(mask, row, column, width):
    """Whether a pixel of a mask is at most ``width`` away from one that is not in the mask or the image."""
    height, length = mask.shape
    return any(
        not (0 <= y < height and 0 <= x < length) or not mask[y, x]
        for y in range(row - width, row + width + 1)
        for x in range(column - width, column + width + 1)
    )


def reference(pairs, width):
    """Boundary IoU pixel by pixel and mask by mask."""
    intersection, union = np.zeros(3), np.zeros(3)
    for true, pred in pairs:
        known = true != 255
        for label in range(3):
            masks = [(true == label) & known, (pred == label) & known]
            for row, column in np.argwhere(masks[0] | masks[1]):
                bands = [mask[row, column] and near_another(mask, row, column, width) for mask in masks]
                intersection[label] += all(bands)
                union[label] += any(bands)
    return 100 * np.mean(intersection / union)


@pytest.mark.parametrize(('ratio', 'width'), [(0.001, 1), (0.04, 2), (0.1, 5)])
def test_it_counts_the_pixels_of_each_mask_that_are_near_its_contour(ratio, width):
    pairs = list(maps(0))
    found = evaluate(pairs, dilation_ratio=ratio)
    assert found == {'mBoundaryIoU': pytest.approx(reference(pairs, width), abs=0.01)}
    assert 10 < found['mBoundaryIoU'] < 95


def test_a_band_as_wide_as_the_image_makes_it_plain_iou():
    pairs = list(maps(1))
    plain = METRICS.build(dict(type='IoUMetric'))
    plain.dataset_meta = dict(classes=CLASSES)
    plain.process({}, [sample(*pair) for pair in pairs])
    assert evaluate(pairs, dilation_ratio=0.99)['mBoundaryIoU'] == pytest.approx(plain.evaluate(3)['mIoU'], abs=0.01)


def test_a_perfect_prediction_has_100_and_what_it_says_of_ignored_pixels_does_not_count():
    pairs = [(true, np.where(true == 255, pred, true)) for true, pred in maps(2)]
    assert evaluate(pairs)['mBoundaryIoU'] == 100
    other = [(true, np.where(true == 255, 0, true)) for true, _ in pairs]
    assert evaluate(other)['mBoundaryIoU'] == 100


@pytest.mark.parametrize('size', [(1, 5), (5, 1), (1, 1)])
def test_images_of_one_row_or_column_count(size):
    label = np.zeros(size, np.uint8)
    assert evaluate([(label, label)])['mBoundaryIoU'] == 100


def test_a_shift_by_a_pixel_costs_more_than_it_costs_iou():
    true = np.zeros((60, 80), int)
    true[10:50, 10:70] = 1
    true[:, 75:] = 2
    pred = np.roll(true, 1, axis=0)
    wide, narrow = (evaluate([(true, pred)], dilation_ratio=ratio)['mBoundaryIoU'] for ratio in (0.99, 0.02))
    assert narrow < wide < 100


def test_halves_collected_from_two_processes_are_the_whole():
    pairs = list(maps(3, count=4))
    metric = BoundaryIoUMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    halves = []
    for part in (pairs[::2], pairs[1::2]):
        metric.process({}, [sample(*pair) for pair in part])
        halves.append(list(metric.results))
        metric.results.clear()
    assert metric.compute_metrics(halves[0] + halves[1]) == evaluate(pairs)


@pytest.mark.parametrize('ratio', [0, 1, -0.1])
def test_a_ratio_that_is_none_is_named(ratio):
    with pytest.raises(ValueError, match=f'dilation_ratio={ratio} is not between 0 and 1'):
        BoundaryIoUMetric(dilation_ratio=ratio)
