from .cutmix_mean_teacher import CutMixMeanTeacher
from .semi_segmentor import SemiSegmentor

__all__ = ['CutMixMeanTeacher', 'SemiSegmentor']
