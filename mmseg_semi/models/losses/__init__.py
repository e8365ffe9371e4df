"""Losses: a pure function of tensors and its registered module each."""

from .boundary_relaxation import BoundaryRelaxedCrossEntropyLoss, boundary_relaxed_cross_entropy
from .consistency import ConsistencyLosses
from .inter_pixel import InterPixelLoss, inter_pixel_loss
from .pixel_consistency import PixelConsistencyLoss, pixel_consistency_loss
from .pseudo_label import PseudoLabelCrossEntropyLoss, pseudo_label_cross_entropy
from .structured_consistency import StructuredConsistencyLoss, structured_consistency_loss

__all__ = [
    'BoundaryRelaxedCrossEntropyLoss',
    'ConsistencyLosses',
    'InterPixelLoss',
    'PixelConsistencyLoss',
    'PseudoLabelCrossEntropyLoss',
    'StructuredConsistencyLoss',
    'boundary_relaxed_cross_entropy',
    'inter_pixel_loss',
    'pixel_consistency_loss',
    'pseudo_label_cross_entropy',
    'structured_consistency_loss',
]
