"""Turn published weights of WideResNet38 into a checkpoint for the backbone of that name.

    python tools/model_converters/wide_resnet38.py wider_resnet38.pth.tar data/pretrained/wide_resnet38.pth

Three layouts are known, and the classifier or decoder in them is left out:

- ``wider_resnet38.pth.tar``, ImageNet, of https://github.com/NVIDIA/semantic-segmentation/tree/sdcnet
- ``cityscapes_best.pth`` and other DeepLabv3+ checkpoints of that repository
- ``wide_resnet38_ipabn_lr_256.pth.tar``, ImageNet, of https://github.com/mapillary/inplace_abn
"""

import argparse
import re
from pathlib import Path

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor

from mmseg_semi.models import WideResNet38
from mmseg_semi.utils.files import check_checkpoint, replace_file

LEFT_OUT = ('bn_out.', 'classifier.', 'fc.', 'aspp.', 'bot_fine.', 'bot_aspp.', 'final.')
LEAKY = "act_cfg=dict(type='LeakyReLU', negative_slope=0.01)"


def convert(published: dict[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """Rename published weights to those of :class:`WideResNet38`.

    Returns:
        tuple: The weights, and whether they come from inplace_abn, whose activation is a leaky ReLU.

    Raises:
        ValueError: If they are not those of the network.
    """
    published = {key.removeprefix('module.'): value for key, value in published.items()}
    in_place = 'bn_out.weight' in published
    with torch.device('meta'):
        network = WideResNet38().state_dict()
    weights = {}
    for key, value in published.items():
        if not key.startswith(LEFT_OUT):
            key = re.sub(r'(bn\d)\.0\.', r'\1.', key)  # a norm in a Sequential with its activation
            if in_place and re.search(r'bn\d\.weight', key):
                value = value.abs() + 1e-5  # as in-place norm applies it
            weights[key] = value
    for key in network:
        if key.endswith('num_batches_tracked'):
            weights.setdefault(key, torch.tensor(0))
    problems = [f'{key}: missing' for key in network.keys() - weights.keys()]
    problems += [f'{key}: not in the network' for key in weights.keys() - network.keys()]
    problems += [
        f'{key}: {tuple(weights[key].shape)} instead of {tuple(network[key].shape)}'
        for key in network.keys() & weights.keys()
        if weights[key].shape != network[key].shape
    ]
    if problems:
        raise ValueError(
            f'the weights are not those of WideResNet38, {len(problems)} differ: {"; ".join(sorted(problems)[:4])}'
            f'{"; ..." if len(problems) > 4 else ""}'
        )
    return weights, in_place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('published', type=Path, help='checkpoint as downloaded')
    parser.add_argument('out', type=Path, help='checkpoint to write')
    args = parser.parse_args()
    check_checkpoint(args.published)
    checkpoint = CheckpointLoader.load_checkpoint(str(args.published), map_location='cpu')
    try:
        weights, in_place = convert(checkpoint.get('state_dict', checkpoint))
    except ValueError as error:
        raise SystemExit(f'{args.published}: {error}') from None
    with replace_file(args.out) as draft:
        torch.save(dict(state_dict=weights), draft)
    print(
        f'{args.out}: set it as checkpoint of the backbone, init_cfg=dict(type="Pretrained", checkpoint="{args.out}")'
        + (f', and {LEAKY}, which it was trained with' if in_place else '')
    )


if __name__ == '__main__':
    main()
