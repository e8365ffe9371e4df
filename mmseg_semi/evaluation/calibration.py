"""Whether a network is as often right as it is sure.

Shape letters: C classes, H x W pixels, M bins.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS
from torch import Tensor

from mmseg_semi.utils.files import replace_file, write_json

_WAY_OUT = (
    "under test-time augmentation set tta_model=dict(type='ProbabilisticSegTTAModel'), and else let the model's "
    'predict set both'
)


@METRICS.register_module()
class CalibrationMetric(BaseMetric):
    """Expected calibration error and reliability diagram.

    `Guo et al., ICML 2017 <https://arxiv.org/abs/1706.04599>`_, eq. 3: pixels are sorted by the probability of the
    class predicted for them into M bins of equal width, ((m - 1) / M, m / M]. With N pixels in all and n in a bin,

        ECE = sum over bins of n / N * |accuracy - mean confidence|.

    All pixels of the dataset that are not ignored go into the same bins. It gives, in percent, ``ECE`` and
    ``overconfidence``, mean confidence minus accuracy over all pixels, which is negative for a network that is less
    sure than it could be.

    Probabilities come from a prediction's ``seg_logits``: their softmax over C channels, or, from a binary head, the
    single channel itself, to which mmseg has already applied the sigmoid. Under test-time augmentation only
    :class:`ProbabilisticSegTTAModel` keeps them.

    Args:
        num_bins (int): M.
        out_file (str, optional): Picture of the reliability diagram, of any kind that matplotlib writes; its numbers
            go to a ``.json`` of the same name. Each evaluation replaces both.
        ignore_index (int): Label of pixels that do not count.
        collect_device (str): Where results of several processes meet, ``'cpu'`` or ``'gpu'``.
        prefix (str, optional): What the names of the results start with.

    Raises:
        ValueError: If there is no bin, or ``out_file`` is of a kind that matplotlib does not write.
    """

    def __init__(
        self,
        num_bins: int = 15,
        out_file: str | None = None,
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        if num_bins < 1:
            raise ValueError(f'CalibrationMetric: num_bins={num_bins} must be at least 1')
        kinds = Figure().canvas.get_supported_filetypes()
        if out_file is not None and Path(out_file).suffix[1:] not in kinds:
            raise ValueError(f'CalibrationMetric: out_file={out_file!r} must end in one of {", ".join(sorted(kinds))}')
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.num_bins = num_bins
        self.out_file = out_file
        self.ignore_index = ignore_index

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Sort the pixels of each image into bins."""
        for sample in data_samples:
            label = sample['gt_sem_seg']['data'][0]
            pred_label = sample['pred_sem_seg']['data'][0].to(label)
            counts = label != self.ignore_index
            confidence = prediction_confidence(sample)[counts]
            self.results.append(bin_sums(confidence, (pred_label == label)[counts], self.num_bins).cpu())

    def compute_metrics(self, results: list[Tensor]) -> dict[str, float]:
        """Compare confidence and accuracy over the dataset.

        Args:
            results (list[Tensor]): (3, M) of each image, see :func:`bin_sums`.
        """
        sums = torch.stack(results).sum(dim=0)
        count, confidence, correct = sums
        gap = (confidence - correct) / count.sum()
        metrics = dict(ECE=gap.abs().sum().item() * 100, overconfidence=gap.sum().item() * 100)
        metrics = {name: round(value, 2) for name, value in metrics.items()}
        if self.out_file is not None:
            path = Path(self.out_file)
            bins = dict(zip(('count', 'mean_confidence', 'accuracy'), _bins(sums), strict=True))
            write_json(path.with_suffix('.json'), {**metrics, 'bins': bins})
            with replace_file(path) as draft:
                draw_reliability(sums).savefig(draft)
        return metrics


def prediction_confidence(sample: dict) -> Tensor:
    """Give the probability of the class that is predicted for each pixel.

    Args:
        sample (dict): A data sample with ``pred_sem_seg`` and ``seg_logits``.

    Returns:
        Tensor: (H, W), in [0, 1].

    Raises:
        ValueError: If there are no logits, or the prediction is not theirs.
    """
    name = f'the prediction for {sample.get("img_path", "an image")}'
    if 'seg_logits' not in sample:
        raise ValueError(f'CalibrationMetric: {name} has no seg_logits, of which probabilities are made: {_WAY_OUT}')
    logits = sample['seg_logits']['data'].float()
    label = sample['pred_sem_seg']['data'].long().view(1, *logits.shape[1:])
    if len(logits) == 1:  # whatever the threshold
        prob = torch.cat([1 - logits, logits])
        lowest, highest = torch.where(label == 1, logits, 1).amin(), torch.where(label == 0, logits, 0).amax()
        fits = lowest >= highest
    else:
        prob = logits.softmax(dim=0)
        fits = (prob.amax(dim=0) - prob.gather(0, label)).amax() < 1e-3
    if not fits:
        raise ValueError(f'CalibrationMetric: {name} is not the best class of its own seg_logits: {_WAY_OUT}')
    return prob.gather(0, label)[0]


def bin_sums(confidence: Tensor, correct: Tensor, num_bins: int) -> Tensor:
    """Sum pixels up by confidence.

    Args:
        confidence (Tensor): (N,), in [0, 1].
        correct (Tensor): (N,) bool.
        num_bins (int): M.

    Returns:
        Tensor: (3, M) float64: number of pixels, sum of confidence, number of correct pixels.
    """
    index = (confidence * num_bins).ceil().long().clamp(1, num_bins) - 1
    values = torch.stack([torch.ones_like(confidence), confidence, correct.to(confidence)]).double()
    return values.new_zeros(3, num_bins).index_add_(1, index, values)


def _bins(sums: Tensor) -> tuple[list, list, list]:
    """Give count, mean confidence and accuracy of each bin, None where it is empty."""
    count, confidence, correct = sums.tolist()
    mean, accuracy = (
        [x / n if n else None for x, n in zip(total, count, strict=True)] for total in (confidence, correct)
    )
    return [int(n) for n in count], mean, accuracy


def draw_reliability(sums: Tensor) -> Figure:
    """Draw accuracy, and the share of pixels, over confidence.

    Args:
        sums (Tensor): (3, M), see :func:`bin_sums`.

    Returns:
        Figure: Of matplotlib.
    """
    count, confidence, accuracy = ([x or 0 for x in values] for values in _bins(sums))
    width = 1 / len(count)
    left = [m * width for m in range(len(count))]
    figure = Figure(figsize=(4, 4.8), layout='constrained')
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    above.bar(left, accuracy, width, align='edge', color='tab:blue', edgecolor='white', label='accuracy')
    gap = [c - a for c, a in zip(confidence, accuracy, strict=True)]
    above.bar(left, gap, width, accuracy, align='edge', color='tab:red', alpha=0.4, label='confidence - accuracy')
    above.plot([0, 1], [0, 1], '--', color='gray', label='calibrated')
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel='accuracy')
    above.legend(loc='upper left')
    total = max(sum(count), 1)
    below.bar(left, [n / total for n in count], width, align='edge', color='tab:gray', edgecolor='white')
    below.set(xlabel='confidence', ylabel='share of pixels')
    return figure
