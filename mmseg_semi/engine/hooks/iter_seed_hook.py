from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import set_random_seed
from mmseg.registry import HOOKS

from mmseg_semi.utils.seed import derive_seed


@HOOKS.register_module()
class IterSeedHook(Hook):
    """Seed all generators from (seed, rank, iteration) before each training iteration.

    Dropout and random pairs then depend on where training is, not on what ran before: a run that resumes, on as
    many ranks, draws what an uninterrupted one would, and no generator's state needs to be saved.
    """

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Seed Python, NumPy and torch."""
        set_random_seed(derive_seed(runner.seed, get_rank(), runner.iter))
