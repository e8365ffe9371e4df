from .camvid import CamVidDataset
from .collate import semi_collate
from .samplers import SampleIndex, SemiSampler
from .semi_dataset import SemiDataset
from .textured_scenes import TexturedScenesDataset
from .transforms import LoadUnlabeledImage, MultiView, PairedRandomCrop, RandomCutMixRegion, StrongPhotometric
from .unlabeled import UnlabeledDataset

__all__ = [
    'CamVidDataset',
    'LoadUnlabeledImage',
    'MultiView',
    'PairedRandomCrop',
    'RandomCutMixRegion',
    'SampleIndex',
    'SemiDataset',
    'SemiSampler',
    'StrongPhotometric',
    'TexturedScenesDataset',
    'UnlabeledDataset',
    'semi_collate',
]
