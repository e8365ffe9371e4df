"""Parts that a method adds to a segmentor for training; prediction uses none of them."""

from .extra_classifier import ExtraClassifier
from .memory_bank import MemoryBank, gather_rows
from .projector import Projector

__all__ = ['ExtraClassifier', 'MemoryBank', 'Projector', 'gather_rows']
