from .cutmix import cutmix
from .data_preprocessor import SemiDataPreprocessor
from .losses import *  # noqa: F403
from .losses import __all__ as _losses
from .prediction import Prediction, Target
from .segmentors import CutMixMeanTeacher, FixMatch, SemiSegmentor, UniMatch
from .views import UnlabeledViews, View

__all__ = [
    'CutMixMeanTeacher',
    'FixMatch',
    'Prediction',
    'SemiDataPreprocessor',
    'SemiSegmentor',
    'Target',
    'UniMatch',
    'UnlabeledViews',
    'View',
    'cutmix',
    *_losses,
]
