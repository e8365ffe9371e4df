import math

from mmengine.hooks import Hook
from mmseg.registry import HOOKS


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """Stop as soon as a loss is not finite, before a checkpoint could keep the damage.

    Raises:
        FloatingPointError: Naming the losses, the iteration and the last checkpoint.
    """

    priority = 'VERY_HIGH'

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Look at the logged losses of this iteration."""
        values = {name: value.item() for name, value in (outputs or {}).items() if 'loss' in name}
        invalid = [f'{name} = {value}' for name, value in values.items() if not math.isfinite(value)]
        if invalid:
            last = runner.message_hub.get_info('last_ckpt', None)
            raise FloatingPointError(
                f'{", ".join(invalid)} at iteration {runner.iter + 1}. '
                f'Last good checkpoint: {last or "none was saved yet"}. Lower the learning rate or the weight of that '
                'loss, or clip gradients (optim_wrapper.clip_grad), and start again with --resume'
            )
