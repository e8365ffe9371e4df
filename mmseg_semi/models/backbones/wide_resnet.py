from collections import OrderedDict
from collections.abc import Sequence

from mmcv.cnn import build_activation_layer, build_norm_layer
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

# Modules 2 to 7: number of blocks, channels of a block's convolutions at full width, stride, dilation, dropout.
MODULES = (
    (3, (128, 128), 1, 1, 0.0),
    (3, (256, 256), 1, 1, 0.0),
    (6, (512, 512), 2, 1, 0.0),
    (3, (512, 1024), 1, 2, 0.0),
    (1, (512, 1024, 2048), 1, 4, 0.3),
    (1, (1024, 2048, 4096), 1, 4, 0.5),
)
POOLED = (2, 3)  # modules that start with a max pooling of stride 2


class PreActBlock(BaseModule):
    """Residual block whose norm and activation come before each convolution.

    Two convolutions are 3x3; of three, the outer ones are 1x1. The shortcut is the input itself, or a 1x1 convolution
    of the activated input where the shape changes.

    Args:
        in_channels (int): Channels of the input.
        channels (Sequence[int]): Output channels of the two or three convolutions.
        stride (int): Stride of the first convolution.
        dilation (int): Dilation of the 3x3 convolutions.
        dropout (float): Share of activations dropped before the last convolution.
        norm_cfg (dict): Normalisation.
        act_cfg (dict): Activation.
        with_cp (bool): Whether to compute the block again in the backward pass instead of keeping its activations.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        stride: int,
        dilation: int,
        dropout: float,
        norm_cfg: dict,
        act_cfg: dict,
        with_cp: bool,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.bn1 = build_norm_layer(norm_cfg, in_channels)[1]
        self.act1 = build_activation_layer(act_cfg)
        self.proj_conv = None
        if stride > 1 or in_channels != channels[-1]:
            self.proj_conv = nn.Conv2d(in_channels, channels[-1], 1, stride, bias=False)
        kernels = (3, 3) if len(channels) == 2 else (1, 3, 1)
        layers = OrderedDict()
        for i, (kernel, width) in enumerate(zip(kernels, channels, strict=True), 1):
            if i > 1:
                layers[f'bn{i}'] = build_norm_layer(norm_cfg, in_channels)[1]
                layers[f'act{i}'] = build_activation_layer(act_cfg)
                stride = 1
            if i == len(channels) and dropout:
                layers['dropout'] = nn.Dropout(dropout)
            padding = kernel // 2 * dilation
            layers[f'conv{i}'] = nn.Conv2d(in_channels, width, kernel, stride, padding, dilation, bias=False)
            in_channels = width
        self.convs = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, channels[-1], H / stride, W / stride)."""
        if self.with_cp and x.requires_grad:
            return checkpoint(self._forward, x, use_reentrant=False)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        active = self.act1(self.bn1(x))
        shortcut = x if self.proj_conv is None else self.proj_conv(active)
        return self.convs(active) + shortcut


@MODELS.register_module()
class WideResNet38(BaseModule):
    """WideResNet-38 for segmentation, with an output of stride 8.

    `Wu et al., Wider or Deeper: Revisiting the ResNet Model for Visual Recognition, 2016
    <https://arxiv.org/abs/1611.10080>`_, in the form of `Zhu et al., CVPR 2019 <https://arxiv.org/abs/1812.01593>`_,
    that Kim et al. 2020 train: seven modules with 64, 128, 256, 512, 1024, 2048 and 4096 channels at strides 1, 2, 4,
    8, 8, 8 and 8, where dilation takes the place of further strides. Weights have the names that inplace_abn and
    NVIDIA's semantic-segmentation publish; ``tools/model_converters/wide_resnet38.py`` converts their checkpoints.

    Args:
        base_channels (int): Channels of the first module; those of the others follow.
        out_indices (Sequence[int]): Modules, from 0, whose outputs to give, before any further norm. Defaults to those
            that the decoder of DeepLabv3+ takes: stride 2 and the last.
        norm_cfg (dict, optional): Normalisation. Defaults to batch norm.
        act_cfg (dict, optional): Activation. Defaults to ReLU; weights of inplace_abn want
            ``dict(type='LeakyReLU', negative_slope=0.01)``.
        with_cp (bool): Whether to compute each block again in the backward pass instead of keeping its activations.
        init_cfg (dict | list[dict], optional): Defaults to He's initialisation.

    Raises:
        ValueError: If an index is not in 0 to 6.
    """

    def __init__(
        self,
        base_channels: int = 64,
        out_indices: Sequence[int] = (1, 6),
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if not set(out_indices) <= set(range(7)):
            raise ValueError(f'WideResNet38: out_indices={tuple(out_indices)}, but its modules are 0 to 6')
        he = [dict(type='Kaiming', layer='Conv2d'), dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm'])]
        super().__init__(init_cfg=init_cfg or he)
        self.out_indices = out_indices
        norm_cfg, act_cfg = norm_cfg or dict(type='BN'), act_cfg or dict(type='ReLU', inplace=True)
        in_channels = base_channels
        self.mod1 = nn.Sequential(OrderedDict(conv1=nn.Conv2d(3, in_channels, 3, padding=1, bias=False)))
        for number, (blocks, widths, stride, dilation, dropout) in enumerate(MODULES, 2):
            channels = [width * base_channels // 64 for width in widths]
            layers = OrderedDict(pool=nn.MaxPool2d(3, 2, padding=1)) if number in POOLED else OrderedDict()
            for block in range(1, blocks + 1):
                layers[f'block{block}'] = PreActBlock(
                    in_channels, channels, stride, dilation, dropout, norm_cfg, act_cfg, with_cp
                )
                in_channels, stride = channels[-1], 1
            self.add_module(f'mod{number}', nn.Sequential(layers))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (B, 3, H, W) to the outputs of the chosen modules."""
        outs = []
        for index, module in enumerate(self.children()):
            x = module(x)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)
