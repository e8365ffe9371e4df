"""Class activation maps of an mmpretrain classifier, as pseudo labels.

Shape letters: K classes of the classifier, H x W pixels.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmseg_semi.datasets.conversion import IGNORED
from mmseg_semi.engine.pseudo_labels import Predict


@torch.no_grad()
def class_activation_maps(model: BaseModel, image: Tensor, scales: Sequence[float] = (1.0,)) -> Tensor:
    """Tell where a classifier sees each class.

    `Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016 <https://arxiv.org/abs/1512.04150>`_,
    equation 2: the linear layer behind the global average pooling, applied to every place before it. Negative evidence
    counts as none; maps of several scales, each also of the flipped image, are averaged.

    Args:
        model (BaseModel): Backbone, global average pooling and linear head, as mmpretrain builds them.
        image (Tensor): (1, 3, H, W), normalised.
        scales (Sequence[float]): Factors on height and width. Defaults to the image's own.

    Returns:
        Tensor: (K, H, W) in [0, 1], the largest value of each class being 1.

    Raises:
        ValueError: If the classifier is of another kind.
    """
    layer = getattr(model.head, 'fc', None)
    if not isinstance(layer, nn.Linear) or type(model.neck).__name__ != 'GlobalAveragePooling':
        raise ValueError(
            f'class activation maps need GlobalAveragePooling and a head with one linear layer fc, but the classifier '
            f'has {type(model.neck).__name__} and {type(model.head).__name__}'
        )
    total = 0
    for scale in scales:
        scaled = F.interpolate(image, scale_factor=scale, mode='bilinear')
        for flip in (lambda x: x, lambda x: x.flip(3)):
            feature = model.extract_feat(flip(scaled), stage='backbone')[-1]
            maps = F.conv2d(flip(feature), layer.weight[:, :, None, None]).relu()
            total = total + F.interpolate(maps, image.shape[2:], mode='bilinear')
    return total[0] / total[0].amax(dim=(1, 2), keepdim=True).clamp(min=1e-5)


def localize(
    model: BaseModel,
    labels: Mapping[str, Sequence[int]],
    classes: Sequence[int],
    scales: Sequence[float] = (1.0,),
    foreground: float = 0.3,
    background: float = 0.05,
    background_class: int | None = None,
) -> Predict:
    """Make pseudo labels of the classes that images are known to show.

    A pixel has the class whose map is largest there, if that is at least ``foreground``; it is background, where there
    is such a class, if no map reaches ``background``; else it does not count. `Ouali et al., Semi-Supervised Semantic
    Segmentation with Cross-Consistency Training, CVPR 2020 <https://arxiv.org/abs/2003.09005>`_, without its CRF.

    Args:
        model (BaseModel): See :func:`class_activation_maps`.
        labels (Mapping[str, Sequence[int]]): From image files to ids of classes.
        classes (Sequence[int]): The id of each of the K classes.
        scales (Sequence[float]): See :func:`class_activation_maps`.
        foreground (float): In (0, 1]. Defaults to 0.3.
        background (float): In [0, 1], at most ``foreground``. Defaults to 0.05.
        background_class (int, optional): Id of the background.

    Returns:
        Predict: Its confidence is the largest map.

    Raises:
        ValueError: If a threshold is out of range.
    """
    if not 0 <= background <= foreground <= 1 or foreground == 0:
        raise ValueError(f'class activation maps lie in [0, 1]: {foreground=} must be in (0, 1], {background=} below')
    device = next(model.parameters()).device

    def predict(path: str) -> tuple[np.ndarray, np.ndarray]:
        ids = labels[path]
        image = torch.from_numpy(cv2.imread(path)).permute(2, 0, 1).to(device)
        image = model.data_preprocessor(dict(inputs=[image]))['inputs']
        maps = class_activation_maps(model, image, scales)[[classes.index(i) for i in ids]]
        score, which = maps.max(dim=0)
        label = torch.tensor(ids, device=device)[which]
        label[score < foreground] = IGNORED
        if background_class is not None:
            label[score < background] = background_class
        return label.cpu().numpy(), score.cpu().numpy()

    return predict
