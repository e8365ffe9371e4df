from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import Runner
from torch import nn

from mmseg_semi.engine import CompileHook


def train(cfg, name, **changes):
    """Give the weights that two iterations end with."""
    cfg = cfg.copy()
    cfg.merge_from_dict(changes)
    cfg.work_dir, cfg.visualizer.name = f'{cfg.work_dir}/{name}', name
    Runner.from_cfg(cfg).train()
    return torch.load(f'{cfg.work_dir}/iter_2.pth', map_location='cpu', weights_only=False)['state_dict']


def test_compiled_training_resumes_a_plain_one_and_ends_with_its_checkpoint(tiny_config):
    cfg = tiny_config(max_iters=2)
    cfg.default_hooks.checkpoint.interval = cfg.train_cfg.val_interval = 1
    plain = train(cfg, 'plain')
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = train(
        cfg, 'compiled', load_from=f'{cfg.work_dir}/plain/iter_1.pth', resume=True,
        default_hooks=dict(compile=dict(type='CompileHook', backend='eager')),
    )  # fmt: skip
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] > 0
    torch.testing.assert_close(compiled, plain)


def test_validation_takes_the_plain_forward_passes():
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    student, teacher = (SimpleNamespace(backbone=nn.Conv2d(3, 4, 1)) for _ in range(2))
    model = SimpleNamespace(student=student, teacher=teacher)
    hook, runner = CompileHook(backend=backend), SimpleNamespace(model=model)
    hook.before_train(runner)
    hook.before_val(runner)
    student.backbone(torch.zeros(1, 3, 5, 7))
    assert not graphs
    hook.after_val(runner)
    student.backbone(torch.zeros(1, 3, 4, 4))
    assert graphs


def test_a_model_without_a_teacher_is_refused():
    with pytest.raises(ValueError, match='CompileHook needs a model with student and teacher, not Linear'):
        CompileHook().before_train(SimpleNamespace(model=nn.Linear(2, 3)))
