from .cutmix import cutmix
from .data_preprocessor import SemiDataPreprocessor
from .losses import *  # noqa: F403
from .losses import __all__ as _losses
from .prediction import Prediction, Target
from .segmentors import CutMixMeanTeacher, SemiSegmentor
from .views import UnlabeledViews

__all__ = [
    'CutMixMeanTeacher',
    'Prediction',
    'SemiDataPreprocessor',
    'SemiSegmentor',
    'Target',
    'UnlabeledViews',
    'cutmix',
    *_losses,
]
