"""Time a method's training step, and compare it with the bare network passes that it cannot avoid.

The bare passes are the method's own: every forward pass of a network that its step makes is recorded with its shapes,
its mode and whether it has a gradient, and run again without anything of the method around them. What a step takes more
is the method's: mixing, pseudo labels, losses. Steps and bare passes take turns, so that a busy machine slows both
alike; the table shows medians. Data stay in memory; optimizer and teacher's update are left out on both sides.

ContextAwareConsistency costs what it can at most: its memory bank is full, the crops overlap entirely, each cell is an
anchor in one of the two directions, and all negatives but those of its own place count. With ``--negatives``, its steps
with so many negatives take turns instead.

Example:
    python tools/analysis_tools/benchmark_step.py --method UniMatch --crop 321 --labeled 2 --unlabeled 4 --threads 1
    python tools/analysis_tools/benchmark_step.py --negatives 500 4000 19200 --crop 320 --unlabeled 2 --threads 1
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from statistics import median

import torch
import torch.nn.functional as F
from benchmark_losses import peak_memory
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_semi.models import SemiSegmentor

NORM = dict(type='BN', requires_grad=True)
VIEWS = dict(
    CutMixMeanTeacher=('weak', 'strong'), FixMatch=('weak', 'strong'), UniMatch=('weak', 'strong1', 'strong2'),
    ContextAwareConsistency=('crop1', 'crop2'), SemiSegmentor=(),
)  # fmt: skip


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('\n\n')[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--method', choices=VIEWS, default='UniMatch', help='whose step')
    parser.add_argument('--negatives', type=int, nargs='+', help='compare numbers of negatives, the first as reference')
    parser.add_argument('--depth', type=int, default=18, help='of the ResNet in DeepLabv3+')
    parser.add_argument('--classes', type=int, default=21, help='classes')
    parser.add_argument('--crop', type=int, default=321, help='side of a crop')
    parser.add_argument('--labeled', type=int, default=2, help='labelled images')
    parser.add_argument('--unlabeled', type=int, default=4, help='unlabelled images')
    parser.add_argument('--repeats', type=int, default=7, help='timed steps')
    parser.add_argument('--device', default='cpu', help='where to run')
    parser.add_argument('--threads', type=int, help="threads on the CPU, where not torch's own choice")
    parser.add_argument('--amp', action='store_true', help='with autocast')
    parser.add_argument('--with-cp', action='store_true', help='with activation checkpoints in the backbone')
    args = parser.parse_args()
    if args.negatives:
        args.method = 'ContextAwareConsistency'
    return args


def deeplabv3plus(args: argparse.Namespace) -> dict:
    """Configure mmseg's DeepLabv3+ on a ResNet of that depth."""
    width = 512 if args.depth < 50 else 2048
    head = dict(dropout_ratio=0.1, num_classes=args.classes, norm_cfg=NORM, align_corners=False)
    return dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor'),
        backbone=dict(
            type='ResNetV1c', depth=args.depth, dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), norm_cfg=NORM,
            contract_dilation=True, with_cp=args.with_cp,
        ),
        decode_head=dict(
            type='DepthwiseSeparableASPPHead', in_channels=width, in_index=3, channels=512 if args.depth >= 50 else 128,
            dilations=(1, 12, 24, 36), c1_in_channels=width // 8, c1_channels=48, **head,
        ),
        train_cfg=dict(), test_cfg=dict(mode='whole'),
    )  # fmt: skip


def make_batch(args: argparse.Namespace) -> tuple[dict[str, Tensor], dict[str, list[SegDataSample]]]:
    """Make random images, blocky labels and one box to paste."""
    size = (args.crop, args.crop)
    coarse = torch.randint(args.classes, (args.labeled, 1, 11, 11), device=args.device).float()
    label = F.interpolate(coarse, size).long()
    inputs = dict(labeled=torch.randn(args.labeled, 3, *size, device=args.device))
    samples = dict(labeled=[SegDataSample(gt_sem_seg=PixelData(data=x)) for x in label])
    valid, region = torch.zeros(2, 1, *size, dtype=torch.long, device=args.device)
    region[:, args.crop // 4 : args.crop // 2, args.crop // 4 : args.crop // 2] = 1
    overlap = (0, 0, args.crop, args.crop)
    place = dict(img_shape=size, crop_offset=(0, 0), overlap=overlap, flip_direction=None, iou_in_range=True)
    for view in VIEWS[args.method]:
        inputs[view] = torch.randn(args.unlabeled, 3, *size, device=args.device)
        samples[view] = [
            SegDataSample(metainfo=place, valid_map=PixelData(data=valid), cutmix_region=PixelData(data=region))
            for _ in range(args.unlabeled)
        ]
    return inputs, samples


@contextmanager
def recorded(model: SemiSegmentor) -> Iterator[list[tuple[nn.Module, object, bool, bool]]]:
    """Note the passes of backbones and decode heads: module, input, whether with gradient, how it normalises."""
    passes = []
    parts = [part for net in (model.student, model.teacher) for part in (net.backbone, net.decode_head)]

    def noting(part: nn.Module) -> Callable:
        norm = next(m for m in part.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
        forward = part.forward

        def run(given: object) -> object:
            passes.append((part, given, torch.is_grad_enabled(), norm.training))
            return forward(given)

        return run

    for part in parts:
        part.forward = noting(part)
    try:
        yield passes
    finally:
        for part in parts:
            del part.forward


def bare_passes(passes: list, heads: tuple[nn.Module, nn.Module], size: tuple[int, int]) -> None:
    """Run the recorded passes on inputs of the same shapes, then one backward pass through those that had a gradient.

    A head's logits are enlarged to the image, where losses of segmentation are.
    """
    outputs = []
    for part, given, with_gradient, training in passes:
        was_training = part.training
        part.train(training)
        if part in heads:
            given = [feature.detach().requires_grad_(with_gradient) for feature in given]
        with nullcontext() if with_gradient else torch.no_grad():
            out = part(given)
            out = [F.interpolate(out, size, mode='bilinear')] if part in heads else out
        outputs += [feature for feature in out if feature.requires_grad]
        part.train(was_training)
    torch.autograd.backward(outputs, [torch.ones_like(feature) for feature in outputs])


def build(args: argparse.Namespace, num_negatives: int = 19200) -> SemiSegmentor:
    """Build a method on random weights, in training mode, with a full memory bank where it has one."""
    model = dict(type=args.method, segmentor=deeplabv3plus(args))
    if args.method == 'ContextAwareConsistency':
        contrast = dict(type='DirectionalContrastiveLoss', loss_weight=0.1, pos_threshold=0.0, negative_sampling=False)
        model.update(stride=8, contrast=contrast, num_negatives=num_negatives)
    model = MODELS.build(model).to(args.device).train()
    bank = getattr(model, 'bank', None)
    if bank is not None:
        bank.push(torch.randn_like(bank.feature), torch.randint_like(bank.label, args.classes))
    return model


def main() -> None:
    """Measure and print the table."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    init_default_scope('mmseg')
    batch = make_batch(args)
    device = torch.device(args.device)
    autocast = torch.autocast(device.type, enabled=args.amp)

    def step(model: SemiSegmentor) -> None:
        with autocast:
            loss, _ = model.parse_losses(model.loss(*batch))
        loss.backward()
        finish(model)

    def finish(model: SemiSegmentor) -> None:
        model.zero_grad()
        if device.type == 'cuda':
            torch.cuda.synchronize(device)

    def bare(model: SemiSegmentor, passes: list) -> None:
        with autocast:
            bare_passes(passes, (model.student.decode_head, model.teacher.decode_head), (args.crop, args.crop))
        finish(model)

    if args.negatives:
        runs = {f'{number} negatives': partial(step, build(args, number)) for number in args.negatives}
    else:
        model = build(args)
        step(model)
        with recorded(model) as passes:
            step(model)
        runs = {f'{len(passes)} bare network passes': partial(bare, model, passes), 'step': partial(step, model)}
    seconds, memory = {name: [] for name in runs}, {}
    for name, run in runs.items():
        run()
        memory[name] = peak_memory(run, device)
    for _ in range(args.repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)

    reference = next(iter(runs))
    shapes = f'{args.labeled} labelled + {args.unlabeled} unlabelled images of {args.crop} x {args.crop}'
    print(f'{args.method}, DeepLabv3+ R{args.depth}, {shapes}, {args.classes} classes, {device}, '
          f'{torch.get_num_threads()} threads')  # fmt: skip
    print(f'{"":<24}{"time (ms)":>12}{"ratio, pair by pair":>22}{"peak memory (MiB)":>20}')
    for name in runs:
        ratio = median(a / b for a, b in zip(seconds[name], seconds[reference], strict=True))
        print(f'{name:<24}{median(seconds[name]) * 1e3:>12.0f}{ratio:>22.3f}{memory[name] / 2**20:>20.0f}')


if __name__ == '__main__':
    main()
