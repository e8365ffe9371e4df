"""What tools and projects share: several processes, with or without GPUs, and trainings that go on by themselves."""

import argparse
import gc
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import barrier, init_dist, is_distributed
from mmengine.logging import print_log
from mmengine.runner import Runner, find_latest_checkpoint

from ..utils.origin import note_origin


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add the options that tell who started the process."""
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    # torchrun sets LOCAL_RANK; torch.distributed.launch of old passed it as an option
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


def prepare_device(cfg: Config, launcher: str, amp: bool = False) -> None:
    """Set a config up for the devices at hand.

    Args:
        cfg (Config): Changed in place.
        launcher (str): As for mmengine's runner.
        amp (bool): Whether to train with automatic mixed precision.

    Raises:
        SystemExit: If mixed precision is asked for without a GPU.
    """
    cfg.launcher = launcher
    on_cpu = get_device() == 'cpu'
    if amp:
        if on_cpu:
            raise SystemExit('--amp needs a GPU: mmengine has no mixed precision for CPU; leave it out')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if on_cpu and launcher != 'none':
        join_processes(cfg, launcher)
        replaced = _replace_sync_bn(cfg.model)
        if replaced:
            print_log(f'SyncBN needs GPUs: {replaced} norm_cfg of the model use BN, each process with its statistics')
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )


def join_processes(cfg: Config, launcher: str) -> None:
    """Let the processes of a launcher find each other before there is a runner, which would call CUDA for it.

    Raises:
        SystemExit: If the launcher needs GPUs, or did not say who takes part.
    """
    if launcher == 'none' or is_distributed():
        return
    settings = cfg.get('env_cfg', {}).get('dist_cfg', {})
    if get_device() != 'cpu':
        init_dist(launcher, **settings)
        return
    if launcher != 'pytorch':
        raise SystemExit(f'--launcher {launcher} needs GPUs; on CPUs use --launcher pytorch')
    missing = [name for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT') if name not in os.environ]
    if missing:
        raise SystemExit(f'--launcher pytorch without {", ".join(missing)} in the environment: use tools/dist_*.sh')
    rank, world_size = (int(os.environ[name]) for name in ('RANK', 'WORLD_SIZE'))
    timeout = timedelta(seconds=settings.get('timeout', 1800))
    torch_dist.init_process_group('gloo', rank=rank, world_size=world_size, timeout=timeout)
    torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ.get('LOCAL_WORLD_SIZE', 1))))


def go_on(cfg: Config) -> None:
    """Set a config up to continue from the latest checkpoint in its work dir, if there is one.

    It then comes before the ``load_from`` of the config, which mmengine would resume from instead.
    """
    latest = find_latest_checkpoint(cfg.work_dir)
    if latest is not None:
        cfg.load_from, cfg.resume = latest, True


def train_to_end(cfg: Config, work_dir: Path, launcher: str = 'none', amp: bool = False) -> str:
    """Train a config from its latest checkpoint on, or not at all where its last one is there.

    Args:
        cfg (Config): Of any OpenMMLab package; not changed.
        work_dir (Path): Folder of its checkpoints.
        launcher (str): As for mmengine's runner.
        amp (bool): Whether to train with automatic mixed precision.

    Returns:
        str: The last checkpoint.
    """
    loop = cfg.train_cfg
    last = work_dir / (f'epoch_{loop.max_epochs}.pth' if 'max_epochs' in loop else f'iter_{loop.max_iters}.pth')
    if last.is_file():
        print_log(f'{work_dir}: trained before')
        return str(last)
    cfg = cfg.copy()
    cfg.work_dir = str(work_dir)
    note_origin(cfg)
    go_on(cfg)
    # mmengine finds the visualizers and logs of a process by name: let trainings that follow each other have their own.
    cfg.experiment_name = work_dir.name
    if 'visualizer' in cfg:
        cfg.visualizer.name = cfg.work_dir
    prepare_device(cfg, launcher, amp)
    Runner.from_cfg(cfg).train()
    barrier()  # the first process alone writes the checkpoint
    return str(last)


def leave_together() -> None:
    """End what several processes share; one that left earlier could abort those which still talk to it.

    Call it where the runner is out of scope. The threads of gloo live as long as a network that uses them, and one that
    outlives Python can abort the process (https://github.com/pytorch/pytorch/issues/190489).
    """
    if torch_dist.is_available() and torch_dist.is_initialized():
        torch_dist.barrier()
        torch_dist.destroy_process_group()
        gc.collect()


def _replace_sync_bn(node: Any) -> int:
    """Write BN for every synchronised batch norm of a config, and count them."""
    count = 0
    if isinstance(node, dict):
        if node.get('type') in ('SyncBN', 'MMSyncBN'):
            node['type'] = 'BN'
            count = 1
        node = list(node.values())
    return count + (sum(map(_replace_sync_bn, node)) if isinstance(node, (list, tuple)) else 0)
