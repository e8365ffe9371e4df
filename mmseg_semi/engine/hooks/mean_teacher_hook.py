import math
from itertools import chain, compress

import torch
from mmengine.dist import all_reduce_params
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_semi.utils.wrapper import unwrapped


@HOOKS.register_module()
class MeanTeacherHook(Hook):
    """Move the teacher towards the student after every optimizer step.

    teacher <- (1 - momentum) * teacher + momentum * student, for parameters and floating-point buffers (batch-norm
    statistics) alike; integer buffers are copied. The student's own buffers, and batch-norm statistics of networks that
    a method adds, are first averaged over the ranks, so that all ranks hold the same networks. `Tarvainen & Valpola,
    Mean teachers are better role models, NeurIPS 2017 <https://arxiv.org/abs/1703.01780>`_.

    Args:
        momentum (float): In mmengine's sense: 0.001 keeps 0.999 of the teacher, in (0, 1].
        warmup (bool): Whether the teacher is a plain average of all students so far until ``momentum`` is the larger:
            the t-th optimizer step then uses max(momentum, 1 / t).

    Raises:
        ValueError: If ``momentum`` is out of range, or the model has no student and teacher of the same shape.
    """

    priority = 'NORMAL'

    def __init__(self, momentum: float = 0.001, warmup: bool = False) -> None:
        if not 0 < momentum <= 1:
            raise ValueError(f'MeanTeacherHook: momentum={momentum} is not in (0, 1]; 0.001 keeps 0.999 of the teacher')
        self.momentum = momentum
        self.warmup = warmup

    def before_train(self, runner) -> None:
        """Pair the tensors of student and teacher once."""
        model = unwrapped(runner.model)
        if not (hasattr(model, 'student') and hasattr(model, 'teacher')):
            raise ValueError(f'MeanTeacherHook needs a model with student and teacher, not {type(model).__name__}')
        student, teacher = model.student.state_dict(keep_vars=True), model.teacher.state_dict(keep_vars=True)
        shapes = [{name: value.shape for name, value in state.items()} for state in (student, teacher)]
        if shapes[0] != shapes[1]:
            differing = sorted(name for name in shapes[0].keys() | shapes[1].keys()
                               if shapes[0].get(name) != shapes[1].get(name))  # fmt: skip
            raise ValueError(f'MeanTeacherHook: student and teacher differ in {differing[:4]}')
        self._parameters = [[p.detach() for p in network.parameters()] for network in (model.teacher, model.student)]
        self._buffers = [_places_of_buffers(network) for network in (model.teacher, model.student)]
        added = [module for name, module in model.named_children() if name not in ('student', 'teacher')]
        places = chain.from_iterable(map(_places_of_buffers, added))
        self._added_statistics = [place for place in places if isinstance(place[0], _BatchNorm)]

    @torch.no_grad()
    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Update the teacher if this iteration ended in an optimizer step."""
        # Looked up each time: EMANet, for one, replaces its buffer rather than writing into it.
        teacher, student, added = (
            [getattr(module, name) for module, name in places] for places in (*self._buffers, self._added_statistics)
        )
        floating = [buffer.is_floating_point() for buffer in student]
        local = [*compress(student, floating), *filter(torch.is_floating_point, added)]
        all_reduce_params(local, op='mean')
        if not runner.optim_wrapper.should_update():
            return
        momentum = self.momentum
        if self.warmup:
            steps = math.ceil((runner.iter + 1) / getattr(runner.optim_wrapper, '_accumulative_counts', 1))
            momentum = max(momentum, 1 / steps)
        averaged = ([*p, *compress(b, floating)] for p, b in zip(self._parameters, (teacher, student), strict=True))
        torch._foreach_lerp_(*averaged, momentum)
        for target, source, is_average in zip(teacher, student, floating, strict=True):
            if not is_average:
                target.copy_(source)


def _places_of_buffers(network: nn.Module) -> list[tuple[nn.Module, str]]:
    """Name the modules of all buffers that a checkpoint holds."""
    return [
        (module, name)
        for module in network.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name not in module._non_persistent_buffers_set
    ]
