import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import tiny_segmentor

ROOT = Path(__file__).parents[2]


def run(script, *args, cwd=None, **env):
    return subprocess.run(
        ['bash', ROOT / 'tools' / script, *map(str, args)], capture_output=True, text=True, check=False, cwd=cwd,
        env={**os.environ, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1', **env}, timeout=400,
    )  # fmt: skip


@pytest.mark.skipif(torch.cuda.is_available(), reason='two processes on CPUs')
def test_two_processes_without_gpus_train_and_test_a_network_with_synchronised_batch_norm(tiny_config, tmp_path):
    cfg = tiny_config(segmentor=tiny_segmentor('SyncBN'), max_iters=2)
    cfg.env_cfg.dist_cfg.backend = 'nccl'
    cfg.dump(tmp_path / 'config.py')
    work = tmp_path / 'dist'
    trained = run('dist_train.sh', tmp_path / 'config.py', 2, '--work-dir', work, cwd=tmp_path)
    log = trained.stdout + trained.stderr
    assert trained.returncode == 0, log[-6000:]
    assert 'SyncBN needs GPUs' in log
    assert (work / 'iter_2.pth').is_file()
    arguments = (tmp_path / 'config.py', work / 'iter_2.pth', 2, '--work-dir', work, '--out', tmp_path / 'out', '--tta')
    tested = run('dist_test.sh', *arguments, cwd=tmp_path)
    assert tested.returncode == 0, (tested.stdout + tested.stderr)[-6000:]
    assert 'mIoU' in tested.stdout + tested.stderr
    assert len(list((tmp_path / 'out').iterdir())) == 2


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'])
def test_a_launcher_without_arguments_says_how_to_use_it(script):
    result = run(script)
    assert result.returncode == 2
    assert result.stderr.startswith('usage:')


def test_a_machine_among_several_tells_torchrun_where_the_first_is(tmp_path):
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    env = dict(PYTHON=str(python), NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1', PORT='29999')
    command = run('dist_train.sh', 'config.py', 4, '--resume', **env).stdout
    for part in (
        '--nnodes=2 --node_rank=1 --nproc_per_node=4',
        '--master_addr=10.0.0.1 --master_port=29999',
        '--resume',
    ):
        assert part in command


def test_slurm_gets_partition_job_and_gpus(tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\necho "$@"\n')
    srun.chmod(0o755)
    env = dict(PATH=f'{tmp_path}:{os.environ["PATH"]}', GPUS='4', SRUN_ARGS='--qos high', CPUS_PER_TASK='2')
    for script, positional, arguments in (
        ('train', 1, ['config.py', '--work-dir=work', '--resume']),
        ('test', 2, ['config.py', 'a.pth', '--tta']),
    ):
        command = run(f'slurm_{script}.sh', 'part', 'job', *arguments, **env).stdout
        for part in (
            '--partition=part --job-name=job --gres=gpu:4 --ntasks=4',
            '--cpus-per-task=2',
            '--qos high',
            f'tools/{script}.py {" ".join(arguments[:positional])} --launcher=slurm',
        ):
            assert part in command
        assert command.rstrip().endswith(f'--launcher=slurm {" ".join(arguments[positional:])}')
