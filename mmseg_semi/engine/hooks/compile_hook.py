import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from mmseg_semi.utils.wrapper import unwrapped


@HOOKS.register_module()
class CompileHook(Hook):
    """Train with the backbones and necks of student and teacher under ``torch.compile``.

    What is compiled are the calls, not the modules: parameters, checkpoints and the teacher's update are as without.
    Heads, mixing and losses stay as they are, whose control flow changes within a step, and so does validation, whose
    images differ in size. (mmengine's ``compile`` setting would compile the whole training step, data samples,
    logging and optimizer included.)

    Switch it on with ``default_hooks=dict(compile=dict(type='CompileHook'))``. A backbone with SyncBN is compiled in
    pieces where there are several processes, so little is gained: torch cannot trace how it gathers statistics.

    Args:
        **options: Of :func:`torch.compile`, such as ``mode='max-autotune-no-cudagraphs'`` or ``backend='eager'``. The
            default backend needs a C++ compiler on a CPU. ``backend='aot_eager'`` fails where a backbone has
            ``with_cp``, and CUDA graphs (``mode='max-autotune'``) may where gradients are accumulated.

    Raises:
        ValueError: If the model has no student and teacher.
    """

    def __init__(self, **options) -> None:
        self.options = options
        self._compiled = []

    def before_train(self, runner) -> None:
        """Compile; it happens at the first call of each shape and mode."""
        model = unwrapped(runner.model)
        if not (hasattr(model, 'student') and hasattr(model, 'teacher')):
            raise ValueError(f'CompileHook needs a model with student and teacher, not {type(model).__name__}')
        parts = [getattr(net, name, None) for net in (model.student, model.teacher) for name in ('backbone', 'neck')]
        self._compiled = [(part, torch.compile(part.forward, **self.options)) for part in parts if part is not None]
        self.after_val(runner)

    def before_val(self, runner) -> None:
        """Take the plain forward passes."""
        for part, _ in self._compiled:
            del part.forward

    def after_val(self, runner) -> None:
        """Take the compiled ones again."""
        for part, forward in self._compiled:
            part.forward = forward
