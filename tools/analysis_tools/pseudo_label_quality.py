"""Tell how many pixels of each class a threshold of confidence keeps as pseudo labels, and how many of them are right.

    python tools/analysis_tools/pseudo_label_quality.py CONFIG CHECKPOINT --thresholds 0 0.8 0.95

predicts the annotated images of ``val_dataloader`` as pseudo labels are predicted, of any model of this package or of
mmseg, and prints a table in Markdown: for each threshold the share of a class's pixels that are kept, and the share of
what is kept as that class that is right. A threshold that keeps nothing of a class teaches nothing of it.
"""

import argparse

import numpy as np
import torch
from mmengine.config import DictAction
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress
from mmseg.evaluation import IoUMetric
from mmseg.registry import DATASETS
from torch import Tensor

from mmseg_semi.datasets.checks import check_annotation
from mmseg_semi.datasets.conversion import IGNORED, errors_in_one_sentence
from mmseg_semi.engine.pseudo_labels import segment
from mmseg_semi.models import load_segmentor
from mmseg_semi.utils.config import load_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, of this package or of mmseg')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--thresholds', type=float, nargs='+', default=[0.0, 0.5, 0.8, 0.9, 0.95], metavar='T', help='in [0, 1]'
    )
    parser.add_argument('--images', type=int, help='how many images, spread over the dataset; default: all')
    parser.add_argument('--predict-on', choices=['teacher', 'student'], help="default: the model's own predict_on")
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings, e.g. model.a=1')
    return parser.parse_args()


def table(areas: list[Tensor], thresholds: list[float], classes: tuple[str, ...]) -> str:
    """Write, for T thresholds, T + 1 (4, C) areas of ``intersect_and_union``; the first are of all pixels."""
    lines = [f'| threshold | % | all | {" | ".join(classes)} |', '|---|---|---|' + '---|' * len(classes)]
    *_, whole = areas[0]

    def line(threshold: float, what: str, part: Tensor, of: Tensor) -> str:
        shares = [(part.sum(), of.sum()), *zip(part, of, strict=True)]
        cells = [f'{100 * a / b:.0f}' if b else '-' for a, b in shares]
        return f'| {threshold:g} | {what} | {" | ".join(cells)} |'

    for threshold, (right, _, predicted, kept) in zip(thresholds, areas[1:], strict=True):
        lines.append(line(threshold, 'kept', kept, whole))
        lines.append(line(threshold, 'right', right, predicted))
    return '\n'.join(lines)


def main(args: argparse.Namespace) -> None:
    if not all(0 <= threshold <= 1 for threshold in args.thresholds):
        raise ValueError(f'--thresholds {args.thresholds}: confidences are in [0, 1]')
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    classes = dataset.metainfo['classes']
    predict = segment(load_segmentor(cfg, args.checkpoint, args.predict_on).to(get_device()), threshold=0.0)
    number = min(args.images or len(dataset), len(dataset))
    infos = [dataset.get_data_info(index) for index in np.linspace(0, len(dataset) - 1, number).round().astype(int)]
    areas = [0] * (1 + len(args.thresholds))
    for info in track_iter_progress(infos):
        truth = torch.from_numpy(check_annotation(info, len(classes)))
        label, confidence = map(torch.from_numpy, predict(info['img_path']))
        for row, threshold in enumerate([0.0, *args.thresholds]):
            kept = truth.where(confidence >= threshold, IGNORED)
            found = IoUMetric.intersect_and_union(label, kept, len(classes), IGNORED)
            areas[row] = areas[row] + torch.stack(found).double()
    print('\n' + table(areas, args.thresholds, classes))


if __name__ == '__main__':
    with errors_in_one_sentence():
        main(parse_args())
