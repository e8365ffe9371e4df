import math

import torch
from mmengine.hooks import Hook
from mmengine.runner import find_latest_checkpoint
from mmseg.registry import HOOKS


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """Stop as soon as a loss or a weight is not finite, before a checkpoint could keep the damage.

    Weights are looked at whenever a checkpoint is about to be written.

    Raises:
        FloatingPointError: Naming what is not finite, the iteration and the last checkpoint.
    """

    priority = 'VERY_HIGH'

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Look at the logged losses of this iteration."""
        values = {name: value.item() for name, value in (outputs or {}).items() if 'loss' in name}
        invalid = [f'{name} = {value}' for name, value in values.items() if not math.isfinite(value)]
        if invalid:
            raise _stop(runner, ', '.join(invalid), runner.iter + 1)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Look at the weights."""
        weights = checkpoint['state_dict'].items()
        invalid = [name for name, value in weights if value.is_floating_point() and not torch.isfinite(value).all()]
        if invalid:
            raise _stop(runner, f'{len(invalid)} weights are not finite, such as {invalid[0]},', runner.iter + 1)


def _stop(runner, what: str, iteration: int) -> FloatingPointError:
    last = find_latest_checkpoint(runner.work_dir)
    return FloatingPointError(
        f'{what} at iteration {iteration}. Last good checkpoint: {last or "none was saved yet"}. Lower the learning '
        'rate or the weight of a loss, or clip gradients (optim_wrapper.clip_grad), and start again with --resume'
    )
