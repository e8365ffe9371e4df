"""Test a checkpoint, on one process or, through dist_test.sh, on several."""

import argparse
import os
import os.path as osp

import mmcv
from mmengine import fileio
from mmengine.config import Config, DictAction
from mmengine.hooks import Hook
from mmengine.runner import CheckpointLoader, Runner

from mmseg_semi.engine.launch import add_launcher, leave_together, prepare_device


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
    parser.add_argument('config', help='config file, of this package or of mmseg')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='where logs go; default: work_dirs/CONFIG_NAME')
    parser.add_argument('--tta', action='store_true', help="average over the views of the config's tta_pipeline")
    parser.add_argument('--predict-on', choices=['teacher', 'student'], help="default: the model's own predict_on")
    parser.add_argument('--out', help='folder for predicted label maps, PNGs with the names of the images')
    parser.add_argument(
        '--submission', action='store_true', help="predict on the config's images for a benchmark's server, into --out"
    )
    parser.add_argument('--show-dir', help='folder for predictions painted over the images')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings, e.g. model.a=1')
    add_launcher(parser)
    return parser.parse_args()


def check(cfg: Config, args: argparse.Namespace) -> None:
    """Refuse what the config or the checkpoint cannot do.

    Raises:
        SystemExit: Saying what is missing.
    """
    is_local = '://' not in args.checkpoint
    if is_local and not osp.isfile(args.checkpoint):
        raise SystemExit(f'there is no checkpoint {args.checkpoint}')
    plain = 'segmentor' not in cfg.model
    if plain and is_local and any(key.startswith('teacher.') for key in _keys(args.checkpoint)):
        raise SystemExit(
            f'{args.checkpoint} holds student and teacher, {args.config} is a plain {cfg.model.type}: test it with the '
            'config that it was trained with, or take one out with tools/model_converters/export_segmentor.py'
        )
    if args.predict_on and plain:
        raise SystemExit(f'--predict-on: {cfg.model.type} has no teacher and student, only semi-supervised models do')
    if args.tta and not ('tta_pipeline' in cfg and 'tta_model' in cfg):
        raise SystemExit('--tta: the config sets no tta_model and tta_pipeline; configs/_base_/tta.py has both')
    if args.submission and not args.out:
        raise SystemExit('--submission: name the folder for the label maps with --out')
    if args.submission and not cfg.get('submission'):
        raise SystemExit(
            '--submission: the config sets no submission, dict(data_prefix=..., evaluator=...); '
            'configs/_base_/datasets/semi_cityscapes.py does'
        )


def _keys(checkpoint: str) -> set[str]:
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    return set(content.get('state_dict', content))


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
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    check(cfg, args)
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)
    cfg.load_from, cfg.resume = args.checkpoint, False
    if args.predict_on:
        cfg.model.predict_on = args.predict_on
    if args.submission:
        prepare_submission(cfg)
    if args.out:
        os.makedirs(args.out, exist_ok=True)  # on every rank: the metric makes it on the first alone, maybe too late
        metrics = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
        for metric in metrics:
            if metric.type in ('IoUMetric', 'CityscapesMetric'):
                metric.output_dir = args.out
            if metric.type == 'CityscapesMetric':
                metric.keep_results = True  # or it deletes the folder
    prepare_device(cfg, args.launcher)
    if args.tta:
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.model = dict(cfg.tta_model, module=cfg.model)
    runner = Runner.from_cfg(cfg)
    if args.show_dir:
        runner.register_hook(PaintHook(args.show_dir))
    runner.test()
    leave_together()


if __name__ == '__main__':
    main()
