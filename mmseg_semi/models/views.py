from types import SimpleNamespace

import torch
from mmseg.structures import SegDataSample
from torch import Tensor


class UnlabeledViews(SimpleNamespace):
    """The unlabelled part of a batch: one attribute a view, (B, 3, H, W), and what all views share.

    Attributes:
        valid (Tensor): (B, H, W) bool, False on padding and filled corners.
        region (Tensor): (B, H, W) int64, where a partner image is to be pasted: n for the n-th box, 0 elsewhere.
        data_samples (list[SegDataSample]): Of the first view.
    """

    @classmethod
    def gather(cls, images: dict[str, Tensor], data_samples: dict[str, list[SegDataSample]]) -> 'UnlabeledViews':
        """Collect views, of which the first tells what they share."""
        name, batch = next(iter(images.items()))
        samples = data_samples[name]
        maps = {
            key: torch.cat([s.get(key).data if key in s else batch.new_zeros(1, *batch.shape[-2:]) for s in samples])
            for key in ('valid_map', 'cutmix_region')
        }
        return cls(
            **images,
            valid=maps['valid_map'] == 0,
            region=maps['cutmix_region'].long(),
            data_samples=samples,
        )

    def __getattr__(self, name: str):
        views = [key for key, value in vars(self).items() if isinstance(value, Tensor) and value.ndim == 4]
        raise AttributeError(
            f'the unlabelled pipeline makes no view named {name!r}, only {views}: name it in its MultiView transform'
        )
