from .compile_hook import CompileHook
from .dataset_check_hook import DatasetCheckHook
from .invalid_loss_hook import InvalidLossHook
from .iter_seed_hook import IterSeedHook
from .mean_teacher_hook import MeanTeacherHook
from .pseudo_label_visualization_hook import PseudoLabelVisualizationHook
from .safe_checkpoint_hook import AtomicLocalBackend, SafeCheckpointHook

__all__ = [
    'AtomicLocalBackend',
    'CompileHook',
    'DatasetCheckHook',
    'InvalidLossHook',
    'IterSeedHook',
    'MeanTeacherHook',
    'PseudoLabelVisualizationHook',
    'SafeCheckpointHook',
]
