from .backbones import WideResNet38
from .cutmix import cutmix
from .data_preprocessor import SemiDataPreprocessor
from .heads import ExtraClassifier, MemoryBank, Projector, gather_rows
from .losses import *  # noqa: F403
from .losses import __all__ as _losses
from .overlap import cell_ids, overlap_cells
from .prediction import Prediction, Target
from .segmentors import (
    ContextAwareConsistency,
    CutMixMeanTeacher,
    FixMatch,
    ProbabilisticSegTTAModel,
    SemiSegmentor,
    UniMatch,
)
from .views import UnlabeledViews, View

__all__ = [
    'ContextAwareConsistency',
    'CutMixMeanTeacher',
    'ExtraClassifier',
    'FixMatch',
    'MemoryBank',
    'Prediction',
    'ProbabilisticSegTTAModel',
    'Projector',
    'SemiDataPreprocessor',
    'SemiSegmentor',
    'Target',
    'UniMatch',
    'UnlabeledViews',
    'View',
    'WideResNet38',
    'cell_ids',
    'cutmix',
    'gather_rows',
    'overlap_cells',
    *_losses,
]
