from .crop import ClassUniformCrop
from .cutmix import RandomCutMixRegion
from .loading import LoadUnlabeledImage
from .multi_view import MultiView
from .photometric import StrongPhotometric

__all__ = ['ClassUniformCrop', 'LoadUnlabeledImage', 'MultiView', 'RandomCutMixRegion', 'StrongPhotometric']
