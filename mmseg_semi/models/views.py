from dataclasses import dataclass
from types import SimpleNamespace

import torch
from mmseg.structures import SegDataSample
from torch import Tensor


@dataclass
class View:
    """One view of the unlabelled images of a batch.

    Args:
        image (Tensor): (B, 3, H, W).
        valid (Tensor): (B, H, W) bool, False on padding and filled corners.
        region (Tensor): (B, H, W) int64, where a partner image is to be pasted: n for the n-th box, 0 elsewhere.
        true_label (Tensor, optional): (B, H, W) int64, for the log alone; 255 where it is not known. None unless the
            pipeline was asked for it.
        data_samples (list[SegDataSample]): One an image.
    """

    image: Tensor
    valid: Tensor
    region: Tensor
    true_label: Tensor | None
    data_samples: list[SegDataSample]

    @classmethod
    def gather(cls, image: Tensor, data_samples: list[SegDataSample]) -> 'View':
        """Collect what travels with the data samples of a view."""

        def stack(key: str, default: int = 0) -> Tensor:
            blank = torch.full((1, *image.shape[-2:]), default, device=image.device)
            return torch.cat([sample.get(key).data if key in sample else blank for sample in data_samples]).long()

        valid = stack('valid_map') == 0
        for shown, sample in zip(valid, data_samples, strict=True):
            height, width = sample.get('img_shape', shown.shape)[:2]
            shown[height:] = shown[:, width:] = False
        return cls(
            image,
            valid=valid,
            region=stack('cutmix_region'),
            true_label=stack('true_label', 255) if any('true_label' in sample for sample in data_samples) else None,
            data_samples=data_samples,
        )


class UnlabeledViews(SimpleNamespace):
    """The unlabelled part of a batch: one :class:`View` under each name that the pipeline gives."""

    @classmethod
    def gather(cls, images: dict[str, Tensor], data_samples: dict[str, list[SegDataSample]]) -> 'UnlabeledViews':
        """Collect views from the batch that the data preprocessor makes."""
        return cls(**{name: View.gather(image, data_samples[name]) for name, image in images.items()})

    def __getattr__(self, name: str):
        raise AttributeError(
            f'the unlabelled pipeline makes no view named {name!r}, only {list(vars(self))}: '
            'name it in its MultiView transform'
        )
