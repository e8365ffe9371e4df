from .invalid_loss_hook import InvalidLossHook
from .iter_seed_hook import IterSeedHook
from .mean_teacher_hook import MeanTeacherHook
from .safe_checkpoint_hook import AtomicLocalBackend, SafeCheckpointHook

__all__ = ['AtomicLocalBackend', 'InvalidLossHook', 'IterSeedHook', 'MeanTeacherHook', 'SafeCheckpointHook']
