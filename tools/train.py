"""Train a config, on one process or, through dist_train.sh or slurm_train.sh, on several."""

import argparse
import os.path as osp

from mmengine.config import DictAction
from mmengine.runner import Runner

from mmseg_semi.engine.launch import add_launcher, go_on, leave_together, prepare_device
from mmseg_semi.utils.config import load_config
from mmseg_semi.utils.files import check_checkpoint
from mmseg_semi.utils.origin import note_origin


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='where logs and checkpoints go; default: work_dirs/CONFIG_NAME')
    parser.add_argument('--resume', action='store_true', help='continue from the latest checkpoint in the work dir')
    parser.add_argument('--amp', action='store_true', help='train with automatic mixed precision (GPU only)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings, e.g. train_cfg.max_iters=100 model.unsup_rampup=50',
    )
    add_launcher(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)
    note_origin(cfg)
    if args.resume:
        go_on(cfg)
    if cfg.get('load_from'):
        check_checkpoint(cfg.load_from)
    prepare_device(cfg, args.launcher, amp=args.amp)
    Runner.from_cfg(cfg).train()


if __name__ == '__main__':
    main()
    leave_together()
