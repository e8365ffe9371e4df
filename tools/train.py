"""Train a config, on one process or, through dist_train.sh or slurm_train.sh, on several."""

import argparse
import os.path as osp
import platform
import re
import subprocess
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mmseg_semi.engine.launch import add_launcher, go_on, leave_together, prepare_device


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


def commit() -> str:
    """Name the commit whose code runs, for reports, and say so where the code has been changed since."""
    git = ['git', '-C', str(Path(__file__).resolve().parents[1])]
    try:
        name = subprocess.run([*git, 'rev-parse', '--short=12', 'HEAD'], capture_output=True, text=True, check=True)
        code = subprocess.run([*git, 'diff', '--quiet', 'HEAD', '--', 'mmseg_semi', 'configs', 'tools'])
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'
    return name.stdout.strip() + ('-dirty' if code.returncode else '')


def cpu() -> str:
    """Name the CPU: another one rounds otherwise, so that the same seed becomes another run."""
    info = Path('/proc/cpuinfo')
    names = re.findall(r'^model name\s*: (.+)$', info.read_text(), re.MULTILINE) if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)
    cfg.commit, cfg.cpu = commit(), cpu()
    if args.resume:
        go_on(cfg)
    prepare_device(cfg, args.launcher, amp=args.amp)
    Runner.from_cfg(cfg).train()


if __name__ == '__main__':
    main()
    leave_together()
