"""What a network says about a batch of images, in the forms that losses ask for.

Shape letters: B images, C classes, H x W pixels.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from mmseg.models.decode_heads import Mask2FormerHead, MaskFormerHead, SideAdapterCLIPHead
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

_MASK_HEADS = (MaskFormerHead, Mask2FormerHead, SideAdapterCLIPHead)


def with_two_channels(logits: Tensor) -> Tensor:
    """Give the single channel of a binary head, the logit of class 1, a channel of zeros for class 0.

    Args:
        logits (Tensor): (B, C, H, W) or (B, 1, H, W).

    Returns:
        Tensor: (B, C, H, W) as it is, or (B, 2, H, W).
    """
    return logits if logits.shape[1] > 1 else torch.cat([torch.zeros_like(logits), logits], dim=1)


def score_logits(head: nn.Module, output: Tensor) -> Tensor:
    """Give logits for the scores of mask classification, MaskFormer's, Mask2Former's and SAN's, and others as they are.

    A score is a sum of probabilities over queries; its logarithm is the logit of its share in the sum over classes.

    Args:
        head (nn.Module): Decode head that the output is of.
        output (Tensor): What it gives at test time.

    Returns:
        Tensor: Of the same shape.
    """
    return output.clamp(min=1e-6).log() if isinstance(head, _MASK_HEADS) else output


@dataclass(frozen=True)
class Prediction:
    """Class logits with their derived maps, each computed once and in float32 or better.

    Args:
        logits (Tensor): (B, C, H, W), any floating type.
    """

    logits: Tensor

    @property
    def _wide(self) -> Tensor:
        half = self.logits.dtype in (torch.float16, torch.bfloat16)
        return self.logits.float() if half else self.logits

    @cached_property
    def prob(self) -> Tensor:
        """Tensor: Softmax over the classes, (B, C, H, W), in [0, 1]."""
        return self._wide.softmax(dim=1)

    @cached_property
    def _top(self) -> tuple[Tensor, Tensor]:
        # Without the map of all probabilities, which hard pseudo labels do not need.
        wide = self._wide
        logit, label = wide.max(dim=1)
        return (logit - wide.logsumexp(dim=1)).exp(), label

    @property
    def confidence(self) -> Tensor:
        """Tensor: Largest class probability, (B, H, W), in (0, 1]."""
        return self._top[0]

    @property
    def label(self) -> Tensor:
        """Tensor: Most probable class, (B, H, W), int64."""
        return self._top[1]


@dataclass(frozen=True)
class Target(Prediction):
    """A prediction to learn from, where it holds and from which image each pixel comes.

    Args:
        logits (Tensor): (B, C, H, W), without gradient.
        valid (Tensor): (B, H, W) bool, False on padding and ignored pixels.
        region (Tensor): (B, H, W) int64: 0 where the image itself shows, n where the n-th pasted box shows.
    """

    valid: Tensor
    region: Tensor

    def confident(self, threshold: float) -> Tensor:
        """Tell which valid pixels are at least so sure, (B, H, W) bool."""
        return self.valid & (self.confidence >= threshold)

    def statistics(self, threshold: float, true_label: Tensor | None) -> dict[str, Tensor]:
        """Tell what the pseudo labels are worth, for the log.

        Args:
            threshold (float): Confidence from which a pixel counts.
            true_label (Tensor, optional): (B, H, W) int64, no class, such as 255, where it is not known.

        Returns:
            dict[str, Tensor]: ``mask_ratio``, the share of valid pixels that count, their mean ``confidence``, and,
            with true labels, ``pseudo_label_accuracy`` of the pixels that count.
        """
        confident, valid = self.confident(threshold), self.valid.sum().clamp(min=1)
        statistics = dict(
            mask_ratio=confident.sum() / valid,
            confidence=torch.where(self.valid, self.confidence, 0).sum() / valid,
        )
        if true_label is not None:
            judged = confident & (true_label < self.logits.shape[1])
            right = (self.label == true_label) & judged
            statistics['pseudo_label_accuracy'] = right.sum() / judged.sum().clamp(min=1)
        return statistics

    def rearranged(self, pick: Callable[[Tensor], Tensor], region: Tensor) -> 'Target':
        """Take pixels from elsewhere in the batch, with the maps that are computed already.

        Args:
            pick (Callable): Takes the pixels, from (B, ..., H, W) to (K, ..., H, W).
            region (Tensor): (K, H, W) int64, of the result.

        Returns:
            Target: Of K images.
        """
        target = copy.copy(self)
        vars(target).update(tree_map_only(Tensor, pick, vars(self)), region=region)
        return target

    def __getitem__(self, images: slice) -> 'Target':
        """Take some images of the batch."""
        return self.rearranged(lambda batch: batch[images], self.region[images])
