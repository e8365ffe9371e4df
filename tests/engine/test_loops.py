import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import nn

from mmseg_semi.models import SemiSegmentor


@MODELS.register_module()
class ScalesOfLosses(SemiSegmentor):
    """Weights of its own: one scales losses from ``unsup_start`` on, the other always."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.late, self.always = (nn.Parameter(torch.ones(3)) for _ in range(2))

    def loss_labeled(self, image, data_samples):
        return {**super().loss_labeled(image, data_samples), 'loss_always': self.always.square().sum()}

    def loss_unlabeled(self, views):
        return dict(loss_late=self.late.square().sum())


class NotingHook(Hook):
    def __init__(self) -> None:
        self.late, self.always = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        for name in ('late', 'always'):
            getattr(self, name).append(getattr(runner.model, name).detach()[0].item())


@pytest.mark.parametrize('resume_from', [0, 20, 21])
def test_weights_that_were_idle_begin_as_with_a_fresh_optimizer(tiny_config, tmp_path, resume_from):
    start, learning_rate = 20, 0.01
    cfg = tiny_config('ScalesOfLosses', max_iters=start + 3, unsup_start=start)
    cfg.optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=learning_rate, weight_decay=0.0))
    cfg.param_scheduler = cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    if resume_from:
        cfg.default_hooks.checkpoint.interval = 1
        cfg.default_hooks.checkpoint.max_keep_ckpts = 4
        Runner.from_cfg(cfg).train()
        cfg.load_from, cfg.resume = f'{cfg.work_dir}/iter_{resume_from}.pth', True
        cfg.work_dir = str(tmp_path / 'resumed')
    runner, noted = Runner.from_cfg(cfg), NotingHook()
    runner.register_hook(noted)
    runner.train()

    expected = dict(late=[1.0] * start, always=[])
    for name, steps in dict(late=3, always=start + 3).items():
        weight = nn.Parameter(torch.ones(3))
        optimizer = torch.optim.AdamW([weight], lr=learning_rate, weight_decay=0.0)
        for _ in range(steps):
            optimizer.zero_grad()
            weight.square().sum().backward()
            optimizer.step()
            expected[name].append(weight[0].item())
    assert noted.late == pytest.approx(expected['late'][resume_from:])
    assert noted.always == pytest.approx(expected['always'][resume_from:])
