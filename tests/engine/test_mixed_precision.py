"""Mixed precision: the switch, and what methods make of it. mmengine has none for CPUs, so autocast stands in."""

import copy

import pytest
import torch
from mmengine.runner import Runner

from mmseg_semi.engine import launch

UNIMATCH_LOSSES = [dict(type='PseudoLabelCrossEntropyLoss', threshold=0.0), dict(type='InterPixelLoss', threshold=0.0)]
METHODS = dict(
    SemiSegmentor={},
    CutMixMeanTeacher={},
    FixMatch=dict(consistency=UNIMATCH_LOSSES[:1]),
    UniMatch=dict(consistency=UNIMATCH_LOSSES),
    ContextAwareConsistency=dict(contrast=dict(type='DirectionalContrastiveLoss', pos_threshold=0.0)),
)


@pytest.mark.parametrize(('method', 'options'), METHODS.items())
def test_a_step_under_autocast_gives_losses_in_float32_near_the_plain_ones_and_finite_gradients(
    tiny_config, method, options
):
    cfg = tiny_config(method, **options)
    runner = Runner.from_cfg(cfg)
    batch = runner.model.data_preprocessor(next(iter(runner.build_dataloader(cfg.train_dataloader))), True)
    found = []
    for enabled in (False, True):
        model = copy.deepcopy(runner.model)  # a memory bank is filled by the step
        torch.manual_seed(0)
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            losses = model(**batch, mode='loss')
        model.parse_losses(losses)[0].backward()
        found.append({name: value for name, value in losses.items() if 'loss' in name})
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert len(found[0]) > (1 if method == 'SemiSegmentor' else 2)
    for name, plain in found[0].items():
        assert found[1][name].dtype == torch.float32
        torch.testing.assert_close(found[1][name], plain, rtol=0.1, atol=0.01)


@pytest.mark.parametrize('ema_teacher', [True, False])
@pytest.mark.parametrize('method', ['CutMixMeanTeacher', 'FixMatch', 'UniMatch'])
def test_no_weight_is_cast_without_gradient_and_used_with_it(tiny_config, monkeypatch, method, ema_teacher):
    """Older torch keeps such a cast until autocast ends, and the weight gets no gradient."""
    cfg = tiny_config(method, ema_teacher=ema_teacher)
    runner = Runner.from_cfg(cfg)
    batch = runner.model.data_preprocessor(next(iter(runner.build_dataloader(cfg.train_dataloader))), True)
    cast_with_gradient, used, wrong = {}, set(), set()

    def note(module, inputs):
        used.add(module)
        if torch.is_grad_enabled() and not cast_with_gradient.setdefault(module, True):
            wrong.add(module)
        cast_with_gradient.setdefault(module, torch.is_grad_enabled())

    for module in runner.model.student.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_pre_hook(note)
    clear = torch.clear_autocast_cache
    monkeypatch.setattr(torch, 'clear_autocast_cache', lambda: (cast_with_gradient.clear(), clear()))
    runner.model(**batch, mode='loss')
    assert used
    assert not wrong


def test_with_a_gpu_the_switch_makes_the_optimizer_wrapper_scale_losses(tiny_config, monkeypatch):
    monkeypatch.setattr(launch, 'get_device', lambda: 'cuda')
    cfg = tiny_config()
    optimizer = cfg.optim_wrapper.optimizer.copy()
    launch.prepare_device(cfg, 'none', amp=True)
    assert cfg.optim_wrapper == dict(type='AmpOptimWrapper', optimizer=optimizer, loss_scale='dynamic')


def test_without_a_gpu_the_switch_is_refused(tiny_config, monkeypatch):
    monkeypatch.setattr(launch, 'get_device', lambda: 'cpu')
    with pytest.raises(SystemExit, match='--amp needs a GPU'):
        launch.prepare_device(tiny_config(), 'none', amp=True)
