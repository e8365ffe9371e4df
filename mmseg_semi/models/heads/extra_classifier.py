import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class ExtraClassifier(BaseModule):
    r"""Classify features beside the main classifier, from labels that are too coarse for it.

    Classifier :math:`\mathcal{C}_w` of `Semi-supervised Semantic Segmentation with Directional Context-aware
    Consistency <https://arxiv.org/abs/2106.14133>`_, section 3.5: made as that of mmseg's decode heads. It takes the
    errors of the labels upon itself, and is not there at inference.

    Args:
        in_channels (int): Channels of the features.
        num_classes (int): C.
        dropout_ratio (float): Share of channels that are dropped in training. Defaults to 0.1.
        align_corners (bool): How logits are enlarged. Defaults to False.
        init_cfg (dict, optional): As in mmengine. Defaults to that of mmseg's classifiers.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        dropout_ratio: float = 0.1,
        align_corners: bool = False,
        init_cfg: dict | None = dict(type='Normal', layer='Conv2d', std=0.01),  # noqa: B006
    ) -> None:
        super().__init__(init_cfg)
        self.dropout = nn.Dropout2d(dropout_ratio)
        self.conv_seg = nn.Conv2d(in_channels, num_classes, 1)
        self.align_corners = align_corners

    def forward(self, feature: Tensor, size: tuple[int, int]) -> Tensor:
        """Classify.

        Args:
            feature (Tensor): (B, in_channels, h, w).
            size (tuple[int, int]): H and W.

        Returns:
            Tensor: (B, C, H, W) logits.
        """
        logits = self.conv_seg(self.dropout(feature))
        return F.interpolate(logits, size, mode='bilinear', align_corners=self.align_corners)
