from .camvid import CamVidDataset
from .class_uniform import ClassUniform
from .collate import semi_collate
from .pseudo_labeled import PseudoLabeledDataset
from .samplers import PlacedSampleIndex, SampleIndex, SemiSampler
from .semi_dataset import SemiDataset
from .textured_scenes import TexturedScenesDataset
from .transforms import (
    ClassUniformCrop,
    LoadUnlabeledImage,
    MultiView,
    PairedRandomCrop,
    RandomCutMixRegion,
    StrongPhotometric,
)
from .unlabeled import UnlabeledDataset

__all__ = [
    'CamVidDataset',
    'ClassUniform',
    'ClassUniformCrop',
    'LoadUnlabeledImage',
    'MultiView',
    'PairedRandomCrop',
    'PlacedSampleIndex',
    'PseudoLabeledDataset',
    'RandomCutMixRegion',
    'SampleIndex',
    'SemiDataset',
    'SemiSampler',
    'StrongPhotometric',
    'TexturedScenesDataset',
    'UnlabeledDataset',
    'semi_collate',
]
