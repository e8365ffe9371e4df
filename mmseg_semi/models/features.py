"""What a segmentor's classifier is given.

Shape letters: B images, C channels, H x W pixels, h x w cells of the features.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from mmseg.models.segmentors.base import BaseSegmentor
from torch import Tensor, nn


def last_head(segmentor: BaseSegmentor) -> nn.Module:
    """Give the decode head, the last one of a cascade."""
    head = segmentor.decode_head
    return head[-1] if isinstance(head, nn.ModuleList) else head


def classifier(segmentor: BaseSegmentor) -> nn.Conv2d:
    """Give the last layer of that head.

    Raises:
        ValueError: If the head has no classifier ``conv_seg``.
    """
    head = last_head(segmentor)
    layer = getattr(head, 'conv_seg', None)
    if not isinstance(layer, nn.Conv2d):
        raise ValueError(
            f'the features before the classifier conv_seg are needed, but {type(head).__name__} has none: take a '
            'decode head that has, such as DeepLabv3+ or PSPNet'
        )
    return layer


def features_before_classifier(segmentor: BaseSegmentor, image: Tensor) -> Tensor:
    """Give what the classifier is given at test time, before dropout.

    Args:
        segmentor (BaseSegmentor): A plain segmentor, in a mode in which backbone and head give one output.
        image (Tensor): (B, 3, H, W).

    Returns:
        Tensor: (B, C, h, w).

    Raises:
        ValueError: If the head has no classifier, or does not use it.
    """
    with catch_features(segmentor) as caught:
        segmentor(image, mode='tensor')
    return caught[0]


@contextmanager
def catch_features(segmentor: BaseSegmentor) -> Iterator[list[Tensor]]:
    """Catch what the classifier is given, before dropout, in a block in which it predicts once.

    Example:
        >>> with catch_features(self.student) as caught:
        ...     logits = self.seg_logits(self.student, image)
        >>> (feature,) = caught

    Args:
        segmentor (BaseSegmentor): A plain segmentor.

    Yields:
        list[Tensor]: Holds (B, C, h, w) after the block.

    Raises:
        ValueError: If the head has no classifier, or does not use it.
    """
    head, last = last_head(segmentor), classifier(segmentor)
    dropout = getattr(head, 'dropout', None)
    given, caught = {}, []

    def note(module: nn.Module, args: tuple[Tensor]) -> None:
        if last not in given:  # what dropout is given for other outputs comes earlier (DANet) or later
            given[module] = args[0]

    hooks = [module.register_forward_pre_hook(note) for module in (dropout, last) if module is not None]
    try:
        yield caught
    finally:
        for hook in hooks:
            hook.remove()
    if last not in given:
        raise ValueError(f'the classifier conv_seg of {type(head).__name__} takes no part in its predictions')
    caught.append(given.get(dropout, given[last]))


def pool_to_stride(feature: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Average-pool features so that a cell is a square of ``stride`` pixels.

    Args:
        feature (Tensor): (B, C, h, w).
        size (tuple[int, int]): Height H and width W of the images.
        stride (int): Pixels of a cell's side.

    Returns:
        Tensor: (B, C, H / stride, W / stride).

    Raises:
        ValueError: If the features have no such cells.
    """
    fits = size[0] % feature.shape[2] == size[1] % feature.shape[3] == 0
    own_stride = size[1] // feature.shape[3]
    if not fits or stride % own_stride or size[0] % stride or size[1] % stride:
        raise ValueError(
            f'crops of {tuple(size)} pixels give features of {tuple(feature.shape[2:])}, which cannot be pooled to '
            f'stride={stride}: take a crop size that is a multiple of the stride, and a stride that is a multiple of '
            "the network's own"
        )
    return F.avg_pool2d(feature, stride // own_stride)
