"""What the processes of ``test_distributed.py`` import."""

import atexit
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmseg.registry import HOOKS, MODELS, TRANSFORMS
from mmseg.utils import add_prefix

from mmseg_semi.models import Prediction, PseudoLabelCrossEntropyLoss, SemiSegmentor


@HOOKS.register_module()
class DumpRankHook(Hook):
    """Save each rank's weights at the end of training, and the names of its threads at the end of all."""

    priority = 'LOWEST'

    def after_train(self, runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        name = Path(runner.work_dir) / f'rank_{get_rank()}'
        torch.save(model.state_dict(), name.with_suffix('.pth'))
        atexit.register(write_threads, name.with_suffix('.txt'))


def write_threads(path: Path) -> None:
    path.write_text('\n'.join(thread.read_text().strip() for thread in Path('/proc/self/task').glob('*/comm')))


@MODELS.register_module()
class SecondNetwork(SemiSegmentor):
    """A method that trains a second network, whose pseudo labels the student learns."""

    view_names = ('weak',)

    def __init__(self, segmentor: dict, **kwargs) -> None:
        super().__init__(segmentor, **kwargs)
        with self.own_heads():
            self.second = MODELS.build(segmentor)
        self.cross_entropy = PseudoLabelCrossEntropyLoss(threshold=0.0)

    def loss_labeled(self, image, data_samples) -> dict:
        second = add_prefix(self.second.loss(image, data_samples), 'second')
        return {**super().loss_labeled(image, data_samples), **second}

    def loss_unlabeled(self, views) -> dict:
        target = self.teacher_target(views.weak, self.second)
        student = Prediction(self.seg_logits(self.student, views.weak.image))
        return dict(loss_second=self.cross_entropy(student, target))


@TRANSFORMS.register_module()
class LeftHalfRegion(BaseTransform):
    """Paste the partner's left half."""

    def transform(self, results: dict) -> dict:
        region = np.zeros(results['img_shape'][:2], dtype=np.uint8)
        region[:, : region.shape[1] // 2] = 1
        return {**results, 'cutmix_region': region}
