"""What the processes of ``test_distributed.py`` import."""

import atexit
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmseg.registry import HOOKS, TRANSFORMS


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


@TRANSFORMS.register_module()
class LeftHalfRegion(BaseTransform):
    """Paste the partner's left half."""

    def transform(self, results: dict) -> dict:
        region = np.zeros(results['img_shape'][:2], dtype=np.uint8)
        region[:, : region.shape[1] // 2] = 1
        return {**results, 'cutmix_region': region}
