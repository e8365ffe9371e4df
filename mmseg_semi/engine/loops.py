from collections.abc import Sequence
from itertools import chain, repeat

import torch
from mmengine.hooks import EMAHook
from mmengine.runner import IterBasedTrainLoop, Runner, ValLoop
from mmseg.registry import LOOPS
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from mmseg_semi.datasets.semi_dataset import load_plain_dataset
from mmseg_semi.utils.wrapper import unwrapped

from .hooks import MeanTeacherHook


@LOOPS.register_module()
class SemiIterBasedTrainLoop(IterBasedTrainLoop):
    """mmengine's iteration-based loop, which resumes without loading what was trained on before.

    Some versions of mmengine ask the sampler to skip; for the others, which load and drop, it is done here. A seed that
    was drawn at random, and comes back with the checkpoint, is the sampler's again.

    Raises:
        ValueError: If the model has a teacher that no hook would update, or beside it another moving average.
    """

    def __init__(self, runner: Runner, *args, **kwargs) -> None:
        super().__init__(runner, *args, **kwargs)
        self._seed = runner.seed

    def run(self):
        """Train."""
        model = unwrapped(self.runner.model)
        if hasattr(model, 'teacher'):
            if not any(isinstance(hook, MeanTeacherHook) for hook in self.runner.hooks):
                raise ValueError(
                    f'the teacher of {type(model).__name__} would stay as it is: '
                    'set default_hooks.mean_teacher=dict(type="MeanTeacherHook")'
                )
            if any(isinstance(hook, EMAHook) for hook in self.runner.hooks):
                raise ValueError(
                    f'the teacher of {type(model).__name__} is a moving average already, and the EMAHook would put '
                    'another one into checkpoints: take it out of custom_hooks'
                )
        if self._iter > 0:
            sampler = self.dataloader.sampler
            if getattr(sampler, 'seed', None) == self._seed:
                sampler.seed = self.runner.seed
            if not hasattr(self.dataloader_iterator, 'skip_iter'):
                sampler.skip(self._iter * self.dataloader.batch_size)
                rest = type(self.dataloader_iterator)(self.dataloader)
                self.dataloader_iterator = chain(repeat(None, self._iter), rest)
        return super().run()

    def run_iter(self, data_batch: Sequence[dict]) -> None:
        """Train one iteration; with the first unlabelled images, heads of a method begin with a fresh optimizer."""
        model = unwrapped(self.runner.model)
        if self._iter == getattr(model, 'unsup_start', None):
            _forget_idle(self.runner.optim_wrapper.optimizer, model)
        super().run_iter(data_batch)


def _forget_idle(optimizer: Optimizer, model: nn.Module) -> None:
    """Drop what an optimizer noted of a method's own weights while they had a gradient of zero.

    Adam corrects its averages for the zeros that they begin with in its first steps alone. Had it counted idle ones,
    the first gradients would move the weights by several times the learning rate.
    """
    for _, parameter in model.own_parameters():
        state = optimizer.state.get(parameter, {}).values()
        if not any(value.any() for value in state if torch.is_tensor(value) and value.shape == parameter.shape):
            optimizer.state.pop(parameter, None)


@LOOPS.register_module()
class TeacherStudentValLoop(ValLoop):
    """Validate teacher and student on the same images.

    Metrics come as ``teacher/mIoU`` and ``student/mIoU``, and once more without a prefix for the one that the model's
    ``predict_on`` names, so that ``save_best='mIoU'`` works.

    Raises:
        ValueError: If there is no image to validate on, or the list of them has lines of comment.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args, **kwargs) -> None:
        if isinstance(dataloader, dict):
            dataloader = {**dataloader, 'dataset': load_plain_dataset(dataloader['dataset'], 'val_dataloader')}
        super().__init__(runner, dataloader, *args, **kwargs)

    def run(self) -> dict:
        """Validate both."""
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        self.runner.model.eval()
        model = unwrapped(self.runner.model)
        predict_on, metrics = model.predict_on, {}
        try:
            # Pictures and files of the one that predicts come last, and stay.
            for branch in sorted(('student', 'teacher'), key=predict_on.__eq__):
                model.predict_on = branch
                for idx, data_batch in enumerate(self.dataloader):
                    self.run_iter(idx, data_batch)
                metrics[branch] = self.evaluator.evaluate(len(self.dataloader.dataset))
        finally:
            model.predict_on = predict_on
        merged = dict(metrics[predict_on])
        for branch, values in metrics.items():
            merged.update({f'{branch}/{name}': value for name, value in values.items()})
        self.runner.call_hook('after_val_epoch', metrics=merged)
        self.runner.call_hook('after_val')
        return merged
