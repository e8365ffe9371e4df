import errno
import os

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_semi.engine import AtomicLocalBackend


def test_a_full_disk_keeps_the_file_that_stood_there_and_names_the_way_out(tmp_path, monkeypatch):
    path = tmp_path / 'iter_1.pth'
    backend = AtomicLocalBackend()
    backend.put(b'good', path)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match=r'cannot save .*iter_1\.pth: No space left .* continue with --resume'):
        backend.put(b'better', path)
    assert path.read_bytes() == b'good'
    assert [p.name for p in tmp_path.iterdir()] == ['iter_1.pth']


def test_outdated_checkpoints_go_only_after_the_new_one_is_there(tiny_config, tmp_path, monkeypatch):
    cfg = tiny_config(max_iters=3)
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=1, save_best='mIoU')
    work_dir, left = tmp_path / 'work', []
    remove = AtomicLocalBackend.remove

    def watch(self, path):
        left.append([p.name for p in work_dir.glob('iter_*.pth')])
        remove(self, path)

    monkeypatch.setattr(AtomicLocalBackend, 'remove', watch)
    (work_dir).mkdir()
    (work_dir / 'iter_9.pth.1.tmp').write_bytes(b'half of a checkpoint')
    (work_dir / 'notes.tmp').write_text('of somebody else')
    Runner.from_cfg(cfg).train()
    assert all(len(names) == 2 for names in left)
    assert sorted(p.name for p in work_dir.glob('*.pth')) == ['best_mIoU_iter_3.pth', 'iter_3.pth']
    assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / 'iter_3.pth')
    assert [path.name for path in work_dir.glob('*.tmp')] == ['notes.tmp']


def test_nothing_is_removed_before_there_are_as_many_as_asked_for(tiny_config, tmp_path):
    cfg = tiny_config(max_iters=5)
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=4, save_best=None)
    kept = []

    class Watch(Hook):
        priority = 'LOWEST'

        def after_train_iter(self, runner, *args, **kwargs):
            kept.append(sorted(int(p.stem[5:]) for p in (tmp_path / 'work').glob('iter_*.pth')))

    runner = Runner.from_cfg(cfg)
    runner.register_hook(Watch())
    runner.train()
    assert kept == [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]


def test_a_run_that_goes_on_from_a_copied_checkpoint_removes_nothing_where_it_came_from(tiny_config, tmp_path):
    cfg = tiny_config(max_iters=2)
    cfg.default_hooks.checkpoint.update(interval=2, save_best='mIoU')
    runner = Runner.from_cfg(cfg)
    runner.train()
    origin = {p.name for p in (tmp_path / 'work').glob('*.pth')}
    best = runner.message_hub.get_info('best_ckpt')
    cfg.work_dir, cfg.visualizer.name = str(tmp_path / 'other'), 'other'
    cfg.train_cfg.max_iters = 4
    runner = Runner.from_cfg(cfg)
    runner.resume(str(tmp_path / 'work/iter_2.pth'))
    runner.message_hub.update_info('best_score', -1.0)
    runner.train()
    assert runner.message_hub.get_info('best_ckpt') != best
    assert {p.name for p in (tmp_path / 'work').glob('*.pth')} == origin


@pytest.mark.parametrize(('method', 'optim_wrapper', 'problem'), [
    ('SemiSegmentor', dict(optimizer=dict(type='AdamW', lr=0.01)), 'lacks betas, eps'),
    ('SemiSegmentor', dict(optimizer=dict(type='SGD', lr=0.01), paramwise_cfg=dict(bias_lr_mult=2.0)),
     r'has (\d+) weights in 1 groups, and that of this config \1 weights in \1 groups'),
    ('ContextAwareConsistency', None, r'has \d+ weights in 1 groups, and that of this config \d+ weights in 1 groups'),
])  # fmt: skip
def test_an_optimizer_that_cannot_go_on_is_told_of_with_the_way_out(
    tiny_config, tmp_path, method, optim_wrapper, problem
):
    cfg = tiny_config(max_iters=1)
    Runner.from_cfg(cfg).train()
    other = tiny_config(method, max_iters=2)
    other.optim_wrapper = optim_wrapper or other.optim_wrapper
    other.work_dir, other.load_from, other.resume = str(tmp_path / 'other'), f'{cfg.work_dir}/iter_1.pth', True
    with pytest.raises(ValueError, match=f'its optimizer {problem}: resume with .* set load_from without --resume'):
        Runner.from_cfg(other).train()
    other.resume = False
    Runner.from_cfg(other).train()


@pytest.mark.parametrize('name', ['interval', 'save_begin', 'val_interval'])
def test_a_checkpoint_amid_accumulated_gradients_is_refused_before_the_first_iteration(tiny_config, name):
    cfg = tiny_config(max_iters=4)
    cfg.optim_wrapper.accumulative_counts = 2
    cfg.default_hooks.checkpoint.save_best = 'mIoU'
    (cfg.train_cfg if name == 'val_interval' else cfg.default_hooks.checkpoint)[name] = 3
    with pytest.raises(ValueError, match=f'{name}=3 is no multiple of accumulative_counts=2'):
        Runner.from_cfg(cfg).train()


class SpoilHook(Hook):
    """Spoil a weight before or after the third iteration."""

    def __init__(self, moment):
        setattr(self, f'{moment}_train_iter', self.spoil)

    @torch.no_grad()
    def spoil(self, runner, **kwargs):
        if runner.iter == 2:
            runner.model.student.decode_head.conv_seg.bias.fill_(float('nan'))


@pytest.mark.parametrize(
    ('moment', 'problem'),
    [('before', r'decode\.loss_ce = nan.*'), ('after', r'1 weights are not finite, such as student.decode_head.*')],
)
def test_what_is_not_finite_stops_training_with_the_last_good_checkpoint_kept(tiny_config, tmp_path, moment, problem):
    cfg = tiny_config(max_iters=4)
    cfg.default_hooks.checkpoint.interval = 1
    message = problem + r' at iteration 3\. Last good checkpoint: .*iter_2\.pth'
    runner = Runner.from_cfg(cfg)
    runner.register_hook(SpoilHook(moment))
    with pytest.raises(FloatingPointError, match=message):
        runner.train()
    assert not (tmp_path / 'work' / 'iter_3.pth').exists()
    state = torch.load(tmp_path / 'work' / 'iter_2.pth', weights_only=False)['state_dict']
    assert all(torch.isfinite(value).all() for value in state.values())
