from .cutmix import cutmix
from .data_preprocessor import SemiDataPreprocessor
from .features import features_before_classifier
from .heads import MemoryBank, Projector, gather_rows
from .loading import branch_weights, load_segmentor
from .losses import *  # noqa: F403
from .losses import __all__ as _losses
from .overlap import cell_ids, overlap_cells
from .prediction import Prediction, Target
from .segmentors import ContextAwareConsistency, CutMixMeanTeacher, FixMatch, SemiSegmentor, UniMatch
from .views import UnlabeledViews, View

__all__ = [
    'ContextAwareConsistency',
    'CutMixMeanTeacher',
    'FixMatch',
    'MemoryBank',
    'Prediction',
    'Projector',
    'SemiDataPreprocessor',
    'SemiSegmentor',
    'Target',
    'UniMatch',
    'UnlabeledViews',
    'View',
    'branch_weights',
    'cell_ids',
    'cutmix',
    'features_before_classifier',
    'gather_rows',
    'load_segmentor',
    'overlap_cells',
    *_losses,
]
