"""Compare training runs on one HTML page, which opens from disk.

    python tools/analysis_tools/report.py work_dirs/supervised_* work_dirs/unimatch_* -o report.html

Runs whose configs differ in nothing but the seed are one row. The last checkpoint of each finished run predicts the
validation images, for the classes and the pictures; label maps stay in OUT_cache/, so a second page is quick.
"""

import argparse
import shlex
import sys
from pathlib import Path

from mmengine.config import DictAction

import mmseg_semi  # noqa: F401, which makes checkpoints of every version loadable
from mmseg_semi.utils.files import replace_file
from mmseg_semi.visualization.comparison import Evaluation, compare, evaluate
from mmseg_semi.visualization.report import build_report
from mmseg_semi.visualization.runs import Method, Run, group_runs


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dirs', type=Path, nargs='+', help='work dirs of tools/train.py')
    parser.add_argument('-o', '--out', type=Path, default=Path('report.html'), help='page to write')
    parser.add_argument('--names', nargs='+', help='label of each method, in the order of the work dirs')
    parser.add_argument('--cases', type=int, default=6, help='images to show, at most')
    parser.add_argument('--no-predictions', action='store_true', help='leave classes and pictures out')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings for predicting, e.g. val_dataloader.dataset.data_root=DATA',
    )
    return parser.parse_args()


def predict(methods: list[Method], cache: Path, cfg_options: dict | None) -> dict[Path, Evaluation]:
    """Evaluate the finished runs that kept a checkpoint."""
    evaluations = {}
    for run in (run for method in methods for run in method.counted):
        if run.checkpoint is None:
            print(f'{run.work_dir}: no last_checkpoint to predict with, left out of classes and pictures')
            continue
        evaluation = evaluations[run.work_dir] = evaluate(run, cache, cfg_options)
        first, other = next(iter(evaluations.items()))
        if evaluation.iou.keys() != other.iou.keys():
            raise ValueError(f'{first} and {run.work_dir} have different classes: compare them in a report each')
        logged = run.validations[-1]['mIoU']
        print(f'{run.work_dir}: mIoU {evaluation.miou:.2f}, logged {logged:.2f}', flush=True)
    return evaluations


def main() -> None:
    args = parse_args()
    if args.out.suffix not in ('.html', '.htm'):
        raise SystemExit(f'-o {args.out}: the page is HTML, so name it .html')
    evaluations, comparison = {}, None
    try:
        methods = group_runs([Run(work_dir) for work_dir in args.work_dirs], args.names)
        if not args.no_predictions:
            evaluations = predict(methods, args.out.with_name(f'{args.out.stem}_cache'), args.cfg_options)
            comparison = compare(methods, evaluations, args.cases, args.cfg_options)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    except FileNotFoundError as error:
        raise SystemExit(
            f'{error}: run this where the paths of the configs hold, set --cfg-options '
            'val_dataloader.dataset.data_root=DATA, or give --no-predictions'
        ) from None
    page = build_report(methods, evaluations, comparison, shlex.join(['python', *sys.argv]))
    with replace_file(args.out) as draft:
        draft.write_text(page, encoding='utf-8')
    print(f'{args.out}: {len(methods)} methods, {len(args.work_dirs)} runs, {len(page) / 1e6:.1f} MB')


if __name__ == '__main__':
    main()
