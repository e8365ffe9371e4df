import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class Projector(BaseModule):
    r"""Map features to the space in which contexts are to agree.

    Projector :math:`\Phi` of `Semi-supervised Semantic Segmentation with Directional Context-aware Consistency
    <https://arxiv.org/abs/2106.14133>`_, section 3.2: two fully connected layers for every pixel, with a ReLU between.
    It takes the loss of context upon itself, so that the features before it may keep theirs. (The authors' code has as
    many hidden channels as the features; the paper says 128 for both layers.)

    Args:
        in_channels (int): Channels of the features.
        out_channels (int): D, of both layers. Defaults to 128.
        init_cfg (dict, optional): As in mmengine. Defaults to torch's own initialisation.
    """

    def __init__(self, in_channels: int, out_channels: int = 128, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1), nn.ReLU(inplace=True), nn.Conv2d(out_channels, out_channels, 1)
        )

    def forward(self, feature: Tensor) -> Tensor:
        """Project.

        Args:
            feature (Tensor): (B, in_channels, H, W).

        Returns:
            Tensor: (B, D, H, W), of length 1 along D.

        Raises:
            ValueError: If the channels do not fit.
        """
        if feature.ndim != 4 or feature.shape[1] != self.in_channels:
            raise ValueError(
                f'Projector: features must be (B, {self.in_channels}, H, W), but are {tuple(feature.shape)}: set '
                "in_channels to the decode head's channels before its classifier"
            )
        return F.normalize(self.layers(feature), dim=1)
