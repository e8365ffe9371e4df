"""Losses: a pure function of tensors and its registered module each."""

from .boundary_relaxation import BoundaryRelaxedCrossEntropyLoss, boundary_relaxed_cross_entropy
from .directional_contrastive import DirectionalContrastiveLoss, directional_contrastive_loss
from .feature_l2 import FeatureL2Loss, feature_l2_loss
from .pixel_consistency import PixelConsistencyLoss, pixel_consistency_loss
from .structured_consistency import StructuredConsistencyLoss, structured_consistency_loss

__all__ = [
    'BoundaryRelaxedCrossEntropyLoss',
    'DirectionalContrastiveLoss',
    'FeatureL2Loss',
    'PixelConsistencyLoss',
    'StructuredConsistencyLoss',
    'boundary_relaxed_cross_entropy',
    'directional_contrastive_loss',
    'feature_l2_loss',
    'pixel_consistency_loss',
    'structured_consistency_loss',
]
