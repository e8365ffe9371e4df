from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import PixelData
from mmseg.registry import MODELS

from .device_photometric import device_photometric

# What padding writes into each map that travels with an unlabelled view.
_PAD_VALUES = dict(valid_map=255, true_label=255, pseudo_label=255, cutmix_region=0)


@MODELS.register_module()
class SemiDataPreprocessor(BaseDataPreprocessor):
    """Prepare every view of a batch as the wrapped segmentor's own data preprocessor would.

    Photometric augmentation that the workers have only drawn (``StrongPhotometric(on_device=True)``) is carried out
    first, on the model's device.

    Args:
        base (dict | BaseDataPreprocessor): That preprocessor, or its config.
    """

    def __init__(self, base: dict | BaseDataPreprocessor) -> None:
        super().__init__()
        self.base = MODELS.build(base) if isinstance(base, dict) else base

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalise, pad and stack.

        Args:
            data (dict): ``inputs`` and ``data_samples``. Each is a dict from view to list, as :func:`semi_collate`
                makes them, or what the wrapped preprocessor takes, as at test time.
            training (bool): Whether to pad as in training.

        Returns:
            dict: ``inputs`` and ``data_samples`` for the model, with the views that came in.
        """
        if not isinstance(data['inputs'], dict):
            return self.base(data, training)
        prepared = dict(inputs={}, data_samples={})
        for view, images in data['inputs'].items():
            samples = data['data_samples'][view]
            images = [
                device_photometric(image, sample.get('photometric', ()))
                for image, sample in zip(self.base.cast_data(images), samples, strict=True)
            ]
            sub = self.base(dict(inputs=images, data_samples=samples), training)
            height, width = sub['inputs'].shape[-2:]
            for sample in sub['data_samples']:
                for key in _PAD_VALUES.keys() & set(sample.keys()):
                    pixels = sample.get(key).data
                    padding = (0, width - pixels.shape[-1], 0, height - pixels.shape[-2])
                    sample.set_data({key: PixelData(data=F.pad(pixels, padding, value=_PAD_VALUES[key]))})
            for key, value in sub.items():
                prepared[key][view] = value
        return prepared
