"""Losses: a pure function of tensors and its registered module each."""

from .boundary_relaxation import BoundaryRelaxedCrossEntropyLoss, boundary_relaxed_cross_entropy
from .pixel_consistency import PixelConsistencyLoss, pixel_consistency_loss
from .structured_consistency import StructuredConsistencyLoss, structured_consistency_loss

__all__ = [
    'BoundaryRelaxedCrossEntropyLoss',
    'PixelConsistencyLoss',
    'StructuredConsistencyLoss',
    'boundary_relaxed_cross_entropy',
    'pixel_consistency_loss',
    'structured_consistency_loss',
]
