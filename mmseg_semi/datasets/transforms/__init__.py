from .corruption import ImageCorruption, corruption_names
from .crop import ClassUniformCrop
from .cutmix import RandomCutMixRegion
from .loading import LoadUnlabeledImage
from .multi_view import MultiView
from .paired_crop import PairedRandomCrop
from .photometric import StrongPhotometric

__all__ = [
    'ClassUniformCrop',
    'ImageCorruption',
    'LoadUnlabeledImage',
    'MultiView',
    'PairedRandomCrop',
    'RandomCutMixRegion',
    'StrongPhotometric',
    'corruption_names',
]
