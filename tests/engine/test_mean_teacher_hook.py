from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import Runner
from torch import nn

from mmseg_semi.engine import MeanTeacherHook


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def start(hook, step=True):
    torch.manual_seed(0)
    model = nn.ModuleDict(dict(student=network(), teacher=network()))
    nn.init.normal_(model.student[1].running_mean)
    model.student[1].num_batches_tracked.fill_(7)
    runner = SimpleNamespace(model=model, iter=0, optim_wrapper=SimpleNamespace(should_update=lambda: step))
    hook.before_train(runner)
    return runner, {name: value.clone() for name, value in model.teacher.state_dict().items()}


def test_a_momentum_of_0_1_keeps_0_9_of_the_teacher_and_of_its_batch_statistics():
    hook = MeanTeacherHook(momentum=0.1)
    runner, before = start(hook)
    hook.after_train_iter(runner, 0)
    student = runner.model.student.state_dict()
    for name, value in runner.model.teacher.state_dict().items():
        floating = value.is_floating_point()
        expected = 0.9 * before[name] + 0.1 * student[name] if floating else student[name]
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize('accumulative_counts', [1, 3])
def test_with_warm_up_the_teacher_is_the_mean_of_all_students_so_far(accumulative_counts):
    hook = MeanTeacherHook(momentum=0.01, warmup=True)
    runner, _ = start(hook)
    runner.optim_wrapper._accumulative_counts = accumulative_counts
    seen = []
    for runner.iter in range(accumulative_counts - 1, 4 * accumulative_counts, accumulative_counts):
        nn.init.normal_(runner.model.student[0].weight)
        seen.append(runner.model.student[0].weight.detach().clone())
        hook.after_train_iter(runner, runner.iter)
    torch.testing.assert_close(runner.model.teacher[0].weight, torch.stack(seen).mean(dim=0))


def test_a_buffer_that_a_module_replaces_is_followed():
    hook = MeanTeacherHook(momentum=0.1)
    runner, before = start(hook)
    norm = runner.model.student[1]
    norm.running_mean = norm.running_mean + 1
    hook.after_train_iter(runner, 0)
    expected = 0.9 * before['1.running_mean'] + 0.1 * norm.running_mean
    torch.testing.assert_close(runner.model.teacher[1].running_mean, expected)


def test_iterations_that_only_accumulate_gradients_leave_the_teacher_alone():
    hook = MeanTeacherHook()
    runner, before = start(hook, step=False)
    hook.after_train_iter(runner, 0)
    assert all(torch.equal(value, before[name]) for name, value in runner.model.teacher.state_dict().items())


@pytest.mark.parametrize('momentum', [0, -0.1, 1.1])
def test_a_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(ValueError, match=r'0\.001 keeps 0\.999'):
        MeanTeacherHook(momentum)


def test_student_and_teacher_of_different_shape_are_refused_with_a_name():
    model = SimpleNamespace(student=nn.Linear(2, 3), teacher=nn.Linear(2, 4))
    with pytest.raises(ValueError, match=r"student and teacher differ in \['bias', 'weight'\]"):
        MeanTeacherHook().before_train(SimpleNamespace(model=model))


def test_a_model_without_a_teacher_is_refused():
    with pytest.raises(ValueError, match='not Linear'):
        MeanTeacherHook().before_train(SimpleNamespace(model=nn.Linear(2, 3)))


def test_a_training_whose_teacher_nobody_updates_is_refused(tiny_config):
    cfg = tiny_config()
    cfg.custom_hooks = []
    with pytest.raises(ValueError, match='the teacher of CutMixMeanTeacher would stay as it is'):
        Runner.from_cfg(cfg).train()


def test_another_moving_average_beside_the_teacher_is_refused(tiny_config):
    cfg = tiny_config()
    cfg.custom_hooks.append(dict(type='EMAHook'))
    with pytest.raises(ValueError, match=r'is a moving average already.*take it out of custom_hooks'):
        Runner.from_cfg(cfg).train()


def test_in_training_the_teacher_follows_every_optimizer_step_and_validation_reports_both(tiny_config):
    cfg = tiny_config(max_iters=2)
    cfg.custom_hooks = [dict(type='MeanTeacherHook', momentum=1.0)]
    runner = Runner.from_cfg(cfg)
    model = runner.train()
    student, teacher = model.student.state_dict(), model.teacher.state_dict()
    assert all(torch.equal(student[name], teacher[name]) for name in student)
    metrics = runner.val_loop.run()
    assert metrics['teacher/mIoU'] == metrics['student/mIoU'] == metrics['mIoU']
    assert model.predict_on == 'teacher'
