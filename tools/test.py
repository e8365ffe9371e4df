"""Test a checkpoint, on one process or, through dist_test.sh, on several."""

import argparse
import os
import os.path as osp

import mmcv
from mmengine import fileio
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_semi.engine.launch import leave_together
from mmseg_semi.engine.testing import add_test_options, load_test_config


class PaintHook(Hook):
    """Write every prediction, painted over its image, to ``FOLDER/NAME_OF_IMAGE.png``."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Paint a batch."""
        for sample in outputs:
            image = mmcv.imfrombytes(fileio.get(sample.img_path), channel_order='rgb')
            out_file = osp.join(self.folder, f'{osp.splitext(osp.basename(sample.img_path))[0]}.png')
            runner.visualizer.add_datasample('prediction', image, sample, draw_gt=False, out_file=out_file)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_test_options(parser)
    parser.add_argument('--out', help='folder for predicted label maps, PNGs with the names of the images')
    parser.add_argument(
        '--submission', action='store_true', help="predict on the config's images for a benchmark's server, into --out"
    )
    parser.add_argument('--show-dir', help='folder for predictions painted over the images')
    return parser.parse_args()


def check_submission(cfg: Config, args: argparse.Namespace) -> None:
    """Refuse what cannot be submitted.

    Raises:
        SystemExit: Saying what is missing.
    """
    if not args.out:
        raise SystemExit('--submission: name the folder for the label maps with --out')
    if not cfg.get('submission'):
        raise SystemExit(
            '--submission: the config sets no submission, dict(data_prefix=..., evaluator=...); '
            'configs/_base_/datasets/semi_cityscapes.py does'
        )


def prepare_submission(cfg: Config) -> None:
    """Test on the images of the config's ``submission``, which have no annotations, with its evaluator."""
    dataset = cfg.test_dataloader.dataset
    dataset.data_prefix, dataset.ann_file = cfg.submission.data_prefix, ''
    cfg.test_evaluator = cfg.submission.evaluator
    for pipeline in (dataset.pipeline, cfg.get('tta_pipeline', [])):
        drop_annotations(pipeline)


def drop_annotations(steps: list) -> None:
    """Take out of a pipeline, and of the lists in ``TestTimeAug``, what loads annotations."""
    for step in steps:
        for options in step.get('transforms', []):
            drop_annotations(options)
        if 'transforms' in step:
            step.transforms = [options for options in step.transforms if options]
    steps[:] = [step for step in steps if step.type != 'LoadAnnotations']


def main() -> None:
    args = parse_args()
    cfg = load_test_config(args)
    if args.submission:
        check_submission(cfg, args)
        prepare_submission(cfg)
    if args.out:
        os.makedirs(args.out, exist_ok=True)  # on every rank: the metric makes it on the first alone, maybe too late
        metrics = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
        for metric in metrics:
            if metric.type in ('IoUMetric', 'CityscapesMetric'):
                metric.output_dir = args.out
            if metric.type == 'CityscapesMetric':
                metric.keep_results = True  # or it deletes the folder
    runner = Runner.from_cfg(cfg)
    if args.show_dir:
        runner.register_hook(PaintHook(args.show_dir))
    runner.test()
    leave_together()


if __name__ == '__main__':
    main()
