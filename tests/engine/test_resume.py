"""Interrupted and resumed runs end where uninterrupted ones do, to the bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import child_environment
from mmengine.runner import Runner

from mmseg_semi.compat import prepare_mmengine

ROOT = Path(__file__).parents[2]


def assert_same(a, b, where='checkpoint'):
    """Two nested states hold the same values, tensors to the bit."""
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f'{where}.{key}')
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f'{where}[{i}]')
    else:
        assert a == b, where


def assert_same_training(first, second):
    """Two checkpoints agree on weights, optimizer, schedule and iteration."""
    a, b = (torch.load(path, map_location='cpu', weights_only=False) for path in (first, second))
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_same(a[key], b[key], key)
    assert a['meta']['iter'] == b['meta']['iter']


def last_iteration(work_dir):
    path = (work_dir / 'last_checkpoint').read_text()
    return torch.load(path, map_location='cpu', weights_only=False)['meta']['iter']


@pytest.fixture
def config(tiny_config):
    cfg = tiny_config(max_iters=5, unsup_rampup=4)
    cfg.default_hooks.checkpoint.interval = 1
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    return cfg


def train(config, work_dir, **changes):
    cfg = config.copy()
    cfg.work_dir = str(work_dir)
    cfg.visualizer.name = work_dir.name
    cfg.merge_from_dict(changes)
    Runner.from_cfg(cfg).train()
    return work_dir / f'iter_{cfg.train_cfg.max_iters}.pth'


def test_a_run_resumed_at_any_iteration_ends_as_one_never_interrupted(config, tmp_path):
    whole = train(config, tmp_path / 'whole')
    for done in (1, 3):
        checkpoint = tmp_path / 'whole' / f'iter_{done}.pth'
        resumed = train(config, tmp_path / f'from_{done}', load_from=str(checkpoint), resume=True)
        assert_same_training(whole, resumed)


def test_a_seed_drawn_at_random_is_that_of_the_run_until_its_end(config, tmp_path):
    config.randomness = dict(seed=None)
    whole = train(config, tmp_path / 'whole')
    checkpoint = str(tmp_path / 'whole' / 'iter_2.pth')
    assert_same_training(whole, train(config, tmp_path / 'resumed', load_from=checkpoint, resume=True))


@pytest.mark.parametrize(('method', 'options'), [
    ('ContextAwareConsistency', dict(unsup_start=1, num_negatives=40, new_negatives=24, stride=8)),
    ('UniMatch', dict(consistency=[dict(type='PseudoLabelCrossEntropyLoss', threshold=0.0)])),
])  # fmt: skip
def test_memory_banks_dropped_channels_and_joint_batches_resume_too(tiny_config, tmp_path, method, options):
    cfg = tiny_config(method, max_iters=4, **options)
    cfg.default_hooks.checkpoint.interval = 1
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    train(cfg, tmp_path / 'whole')
    train(cfg, tmp_path / 'resumed', load_from=str(tmp_path / 'whole/iter_2.pth'), resume=True)
    assert_same_training(tmp_path / 'whole/iter_4.pth', tmp_path / 'resumed/iter_4.pth')


def test_a_run_that_accumulates_gradients_resumes_between_its_steps(config, tmp_path):
    config.optim_wrapper.accumulative_counts = config.default_hooks.checkpoint.interval = 2
    whole = train(config, tmp_path / 'whole')
    checkpoint = str(tmp_path / 'whole' / 'iter_2.pth')
    assert_same_training(whole, train(config, tmp_path / 'resumed', load_from=checkpoint, resume=True))


def test_torch_loads_a_checkpoint_without_running_its_code(tiny_config, tmp_path):
    config = tiny_config(max_iters=1)
    config.default_hooks.checkpoint.save_best = 'mIoU'
    checkpoint = train(config, tmp_path / 'run')
    prepare_mmengine()  # some loaders of mmengine take back what was declared safe
    assert torch.load(checkpoint, weights_only=True)['meta']['iter'] == 1


def test_the_number_of_workers_changes_nothing_in_a_resumed_run_either(config, tmp_path):
    whole = train(config, tmp_path / 'whole')
    options = {'train_dataloader.num_workers': 2, 'train_dataloader.persistent_workers': True}
    checkpoint = str(tmp_path / 'whole' / 'iter_3.pth')
    assert_same_training(whole, train(config, tmp_path / 'resumed', load_from=checkpoint, resume=True, **options))


def test_resuming_loads_nothing_that_was_trained_on(config, tmp_path, monkeypatch):
    from mmseg_semi.datasets import SemiDataset

    train(config, tmp_path / 'whole')
    loaded, load = [], SemiDataset.__getitem__
    monkeypatch.setattr(SemiDataset, '__getitem__', lambda self, index: (loaded.append(index), load(self, index))[1])
    train(config, tmp_path / 'resumed', load_from=str(tmp_path / 'whole' / 'iter_4.pth'), resume=True)
    assert len([index for index in loaded if not isinstance(index, int)]) == 4


def start(config_file, work_dir):
    command = [sys.executable, ROOT / 'tools/train.py', config_file, '--work-dir', work_dir, '--resume']
    return subprocess.Popen(
        command, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def test_a_process_killed_again_and_again_always_resumes_and_ends_as_one_never_killed(config, tmp_path):
    config.train_cfg.max_iters = config.param_scheduler[0].end = 24
    config.default_hooks.checkpoint.max_keep_ckpts = 1
    config.dump(tmp_path / 'config.py')
    work_dir, draw, reached = tmp_path / 'killed', random.Random(0), []
    pointer = work_dir / 'last_checkpoint'
    for _ in range(3):
        process, before = start(tmp_path / 'config.py', work_dir), pointer.read_text() if pointer.exists() else ''
        while process.poll() is None and (not pointer.exists() or pointer.read_text() == before):
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.5))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        reached.append(last_iteration(work_dir))
    assert reached == sorted(set(reached)), 'a resumed run went back or did not move'

    output = start(tmp_path / 'config.py', work_dir).communicate()[0].decode()
    assert last_iteration(work_dir) == 24, output[-2000:]
    assert_same_training(train(config, tmp_path / 'whole'), work_dir / 'iter_24.pth')
    assert [path.name for path in work_dir.glob('iter_*.pth')] == ['iter_24.pth'], 'outdated checkpoints are left'
    assert not list(work_dir.glob('*.tmp'))
