from .wide_resnet import WideResNet38

__all__ = ['WideResNet38']
