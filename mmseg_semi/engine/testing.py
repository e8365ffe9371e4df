"""What the tools that test a checkpoint share."""

import argparse
import os.path as osp

from mmengine.config import Config, DictAction
from mmengine.runner import CheckpointLoader

from mmseg_semi.utils.config import load_config
from mmseg_semi.utils.files import check_checkpoint

from .launch import add_launcher, prepare_device


def add_test_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that tell what is tested."""
    parser.add_argument('config', help='config file, of this package or of mmseg')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='where logs go; default: test/ in work_dirs/CONFIG_NAME')
    parser.add_argument('--tta', action='store_true', help="average over the views of the config's tta_pipeline")
    parser.add_argument('--predict-on', choices=['teacher', 'student'], help="default: the model's own predict_on")
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings, e.g. model.a=1')
    add_launcher(parser)


def load_test_config(args: argparse.Namespace) -> Config:
    """Read the config, for a runner that tests.

    Args:
        args (argparse.Namespace): With the options of :func:`add_test_options`.

    Raises:
        SystemExit: Saying what is missing.
    """
    cfg = load_config(args.config, args.cfg_options)
    _check(cfg, args)
    name = osp.splitext(osp.basename(args.config))[0]
    # The runner writes the config that it has into its folder; that of the training stays as it is.
    cfg.work_dir = args.work_dir or osp.join(cfg.get('work_dir') or osp.join('work_dirs', name), 'test')
    cfg.load_from, cfg.resume = args.checkpoint, False
    if args.predict_on:
        cfg.model.predict_on = args.predict_on
    prepare_device(cfg, args.launcher)
    if args.tta:
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.model = dict(cfg.tta_model, module=cfg.model)
    return cfg


def _check(cfg: Config, args: argparse.Namespace) -> None:
    """Refuse what the config or the checkpoint cannot do."""
    check_checkpoint(args.checkpoint)
    plain = 'segmentor' not in cfg.model
    if plain and '://' not in args.checkpoint and any(key.startswith('teacher.') for key in _keys(args.checkpoint)):
        raise SystemExit(
            f'{args.checkpoint} holds student and teacher, {args.config} is a plain {cfg.model.type}: test it with the '
            'config that it was trained with, or take one out with tools/model_converters/export_segmentor.py'
        )
    if args.predict_on and plain:
        raise SystemExit(f'--predict-on: {cfg.model.type} has no teacher and student, only semi-supervised models do')
    if args.tta and not ('tta_pipeline' in cfg and 'tta_model' in cfg):
        raise SystemExit('--tta: the config sets no tta_model and tta_pipeline; configs/_base_/tta.py has both')


def _keys(checkpoint: str) -> set[str]:
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    return set(content.get('state_dict', content))
