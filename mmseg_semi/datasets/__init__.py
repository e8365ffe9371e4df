from .camvid import CamVidDataset
from .class_uniform import ClassUniform
from .collate import semi_collate
from .pseudo_labeled import PseudoLabeledDataset
from .samplers import PlacedSampleIndex, SampleIndex, SemiSampler
from .semi_dataset import SemiDataset
from .textured_scenes import TexturedScenesDataset
from .transforms import (
    ClassUniformCrop,
    ImageCorruption,
    LoadUnlabeledImage,
    MultiView,
    PairedRandomCrop,
    RandomCutMixRegion,
    StrongPhotometric,
    corruption_names,
)
from .unlabeled import UnlabeledDataset

__all__ = [
    'CamVidDataset',
    'ClassUniform',
    'ClassUniformCrop',
    'ImageCorruption',
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
    'corruption_names',
    'semi_collate',
]
