"""Test a checkpoint, on one process or, through dist_test.sh, on several."""

import argparse
import itertools
import os
import os.path as osp
from pathlib import Path

import mmcv
import numpy as np
from mmengine import fileio
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_semi.datasets.checks import data_infos
from mmseg_semi.datasets.conversion import save_image
from mmseg_semi.engine.launch import leave_together
from mmseg_semi.engine.testing import add_test_options, load_test_config
from mmseg_semi.utils.files import common_folder


class PredictionHook(Hook):
    """Write every prediction under the name of its image, subfolders included, and show it.

    Args:
        out (str, optional): Folder for label maps.
        show_dir (str, optional): Folder for predictions painted over their images.
        show (bool): Whether to open a window with them, for ``wait_time`` seconds each.
        wait_time (float): 0 waits for a key.
    """

    def __init__(self, out: str | None, show_dir: str | None, show: bool, wait_time: float) -> None:
        self.out = out
        self.show_dir = show_dir
        self.show = show
        self.wait_time = wait_time

    def before_test_epoch(self, runner) -> None:
        """Find the folder around all images, which a list may name outside of the dataset's."""
        dataset = runner.test_loop.dataloader.dataset
        folder = getattr(dataset, 'data_prefix', {}).get('img_path')
        images = [info['img_path'] for info in data_infos(dataset)]
        self.folder = common_folder(*filter(None, [folder]), *map(osp.dirname, images))
        for image, target in itertools.product(images, filter(None, (self.out, self.show_dir))):
            if osp.realpath(osp.join(target, self.name(image))) == osp.realpath(image):
                raise ValueError(f'{target} is where the image {image} lies, and would lose it: name another folder')

    def name(self, image: str) -> str:
        """Name the prediction of an image."""
        return osp.splitext(osp.relpath(image, self.folder))[0] + '.png'

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Write and show a batch."""
        for sample in outputs:
            image, name = sample.img_path, self.name(sample.img_path)
            if self.out:
                label = sample.pred_sem_seg.data.squeeze(0).cpu().numpy().astype(np.uint8)
                path = Path(self.out) / name
                # Ids as in the annotations.
                save_image(label + 1 if sample.get('reduce_zero_label', False) else label, path)
            if self.show_dir or self.show:
                runner.visualizer.add_datasample(
                    name, mmcv.imfrombytes(fileio.get(image), channel_order='rgb'), sample, draw_gt=False,
                    show=self.show, wait_time=self.wait_time,
                    out_file=osp.join(self.show_dir, name) if self.show_dir else None,
                )  # fmt: skip


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_test_options(parser)
    parser.add_argument('--out', help='folder for predicted label maps, PNGs with the names of the images')
    parser.add_argument(
        '--submission', action='store_true', help="predict on the config's images for a benchmark's server, into --out"
    )
    parser.add_argument('--show-dir', help='folder for predictions painted over the images')
    parser.add_argument('--show', action='store_true', help='show them in a window')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds for each (default: %(default)s)')
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


def prepare_submission(cfg: Config, out: str) -> None:
    """Test on the images of the config's ``submission``, which have no annotations, with its evaluator."""
    os.makedirs(out, exist_ok=True)  # on every rank: the evaluator makes it on the first alone, maybe too late
    dataset = cfg.test_dataloader.dataset
    dataset.data_prefix, dataset.ann_file = cfg.submission.data_prefix, ''
    cfg.test_evaluator = dict(cfg.submission.evaluator, output_dir=out)
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
    out = args.out
    if args.submission:
        check_submission(cfg, args)
        prepare_submission(cfg, out)
        out = None  # written by the evaluator, as the server wants it
    runner = Runner.from_cfg(cfg)
    if out or args.show_dir or args.show:
        runner.register_hook(PredictionHook(out, args.show_dir, args.show, args.wait_time))
    runner.test()


if __name__ == '__main__':
    main()
    leave_together()
