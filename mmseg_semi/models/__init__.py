from .backbones import WideResNet38
from .cutmix import cutmix
from .data_preprocessor import SemiDataPreprocessor
from .features import catch_features, features_before_classifier, pool_to_stride
from .heads import ExtraClassifier, MemoryBank, Projector, gather_rows
from .loading import branch_weights, load_segmentor
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
    'branch_weights',
    'catch_features',
    'cell_ids',
    'cutmix',
    'features_before_classifier',
    'gather_rows',
    'load_segmentor',
    'overlap_cells',
    'pool_to_stride',
    *_losses,
]
