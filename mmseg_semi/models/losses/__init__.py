"""Losses: a pure function of tensors and its registered module each."""

from .boundary_relaxation import BoundaryRelaxedCrossEntropyLoss, boundary_relaxed_cross_entropy
from .consistency import ConsistencyLosses
from .directional_contrastive import DirectionalContrastiveLoss, directional_contrastive_loss
from .feature_l2 import FeatureL2Loss, feature_l2_loss
from .inter_pixel import InterPixelLoss, inter_pixel_loss
from .ohem import MeanOHEMPixelSampler
from .pixel_consistency import PixelConsistencyLoss, pixel_consistency_loss
from .pseudo_label import PseudoLabelCrossEntropyLoss, pseudo_label_cross_entropy
from .structured_consistency import StructuredConsistencyLoss, structured_consistency_loss

__all__ = [
    'BoundaryRelaxedCrossEntropyLoss',
    'ConsistencyLosses',
    'DirectionalContrastiveLoss',
    'FeatureL2Loss',
    'InterPixelLoss',
    'MeanOHEMPixelSampler',
    'PixelConsistencyLoss',
    'PseudoLabelCrossEntropyLoss',
    'StructuredConsistencyLoss',
    'boundary_relaxed_cross_entropy',
    'directional_contrastive_loss',
    'feature_l2_loss',
    'inter_pixel_loss',
    'pixel_consistency_loss',
    'pseudo_label_cross_entropy',
    'structured_consistency_loss',
]
