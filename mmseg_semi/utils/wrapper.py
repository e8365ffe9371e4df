from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """Give the model within DDP or another wrapper, or the model itself."""
    return model.module if is_model_wrapper(model) else model
