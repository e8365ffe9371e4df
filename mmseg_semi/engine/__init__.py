from .hooks import AtomicLocalBackend, InvalidLossHook, IterSeedHook, MeanTeacherHook, SafeCheckpointHook
from .loops import SemiIterBasedTrainLoop, TeacherStudentValLoop

__all__ = [
    'AtomicLocalBackend',
    'InvalidLossHook',
    'IterSeedHook',
    'MeanTeacherHook',
    'SafeCheckpointHook',
    'SemiIterBasedTrainLoop',
    'TeacherStudentValLoop',
]
