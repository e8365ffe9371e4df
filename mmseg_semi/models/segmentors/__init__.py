from .context_aware_consistency import ContextAwareConsistency
from .cutmix_mean_teacher import CutMixMeanTeacher
from .fixmatch import FixMatch
from .semi_segmentor import SemiSegmentor
from .tta import ProbabilisticSegTTAModel
from .unimatch import UniMatch

__all__ = [
    'ContextAwareConsistency',
    'CutMixMeanTeacher',
    'FixMatch',
    'ProbabilisticSegTTAModel',
    'SemiSegmentor',
    'UniMatch',
]
