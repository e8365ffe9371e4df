"""Split a training step into its parts, and compare it with the bare network passes that it cannot avoid.

Without a config, a method trains mmseg's DeepLabv3+ on random images that stay in memory. With one, model, loader,
optimizer and teacher's update are the config's own; weights are random unless it sets ``load_from``, and unsupervised
losses count in full from the first step. It runs where training would: on the GPU if there is one.

The first table holds median times of consecutive steps, exclusive: what runs inside another part counts for itself
alone. The second one compares whole steps, whose data wait in memory, with the floor: every forward pass of a network
that the step makes is recorded with its inputs, its mode and whether it has a gradient, and run again, backward too,
without anything of the method around it. Both take turns, so that a busy machine slows both alike.

Examples:
    python tools/analysis_tools/benchmark_step.py --method UniMatch --threads 1
    python tools/analysis_tools/benchmark_step.py configs/unimatch/CONFIG.py --amp \
        --cfg-options model.channels_last=True default_hooks.compile.type=CompileHook
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import repeat
from statistics import median
from unittest.mock import patch

import torch
import torch.nn.functional as F
from benchmark_losses import peak_memory
from mmengine.config import Config, DictAction
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.data import DataLoader

from mmseg_semi.datasets.conversion import errors_in_one_sentence
from mmseg_semi.engine import CompileHook, MeanTeacherHook
from mmseg_semi.engine.launch import prepare_device
from mmseg_semi.models import SemiSegmentor
from mmseg_semi.utils.config import load_config

NORM = dict(type='BN', requires_grad=True)
# Random networks are not confident: without its threshold a loss has as many pixels as it can.
METHODS = dict(
    SemiSegmentor={}, CutMixMeanTeacher={}, FixMatch={}, UniMatch={},
    ContextAwareConsistency=dict(contrast=dict(type='DirectionalContrastiveLoss', pos_threshold=0.0)),
    IPixMatch=dict(
        type='UniMatch',
        consistency=[dict(type='PseudoLabelCrossEntropyLoss'), dict(type='InterPixelLoss', threshold=0.0)],
    ),
)  # fmt: skip
DATA, PREPARE, TARGET, STUDENT, METHOD, BACKWARD, OPTIMIZER, EMA = PARTS = (
    'data: waiting for the loader', 'data preprocessor', 'networks without gradient (targets)',
    'networks with gradient', "losses and the method's own", 'backward', 'optimizer', "teacher's update",
)  # fmt: skip


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('\n\n')[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('config', nargs='?', help="whose training to time, instead of a method's on random images")
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings', default={})
    parser.add_argument('--repeats', type=int, default=7, help='timed steps')
    parser.add_argument('--threads', type=int, help="threads on the CPU, where not torch's own choice")
    parser.add_argument('--amp', action='store_true', help='with automatic mixed precision (GPU only)')
    random = parser.add_argument_group('random images')
    random.add_argument('--method', choices=METHODS, default='UniMatch', help='whose step')
    random.add_argument('--depth', type=int, default=18, help='of the ResNet in DeepLabv3+')
    random.add_argument('--classes', type=int, default=21, help='classes')
    random.add_argument('--crop', type=int, default=321, help='side of a crop')
    random.add_argument('--labeled', type=int, default=2, help='labelled images')
    random.add_argument('--unlabeled', type=int, default=4, help='unlabelled images')
    return parser.parse_args()


def deeplabv3plus(args: argparse.Namespace) -> dict:
    """Configure mmseg's DeepLabv3+ on a ResNet of that depth."""
    width = 512 if args.depth < 50 else 2048
    head = dict(dropout_ratio=0.1, num_classes=args.classes, norm_cfg=NORM, align_corners=False)
    return dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size=(args.crop, args.crop)),
        backbone=dict(
            type='ResNetV1c', depth=args.depth, dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), norm_cfg=NORM,
            contract_dilation=True,
        ),
        decode_head=dict(
            type='DepthwiseSeparableASPPHead', in_channels=width, in_index=3, channels=512 if args.depth >= 50 else 128,
            dilations=(1, 12, 24, 36), c1_in_channels=width // 8, c1_channels=48, **head,
        ),
        train_cfg=dict(), test_cfg=dict(mode='whole'),
    )  # fmt: skip


def configure_model(args: argparse.Namespace) -> dict:
    """Wrap that network in a method."""
    return {'type': args.method, 'segmentor': deeplabv3plus(args), **METHODS[args.method]}


def random_training(args: argparse.Namespace) -> Config:
    """Configure a method's training, all but its data."""
    return Config(
        dict(
            default_scope='mmseg',
            model=configure_model(args),
            train_cfg=dict(type='SemiIterBasedTrainLoop', max_iters=10**6),
            optim_wrapper=dict(
                type='OptimWrapper', optimizer=dict(type='SGD', lr=0.001, momentum=0.9, weight_decay=0.0001)
            ),
            default_hooks=dict(mean_teacher=dict(type='MeanTeacherHook')),
            log_processor=dict(by_epoch=False),
        )
    )


def random_batch(
    views: Iterable[str], labeled: int, unlabeled: int, crop: int, classes: int
) -> dict[str, dict[str, list]]:
    """Make random images, blocky labels and one box to paste, as a loader gives them."""
    size = (crop, crop)
    label = F.interpolate(torch.randint(classes, (labeled, 1, 11, 11)).float(), size).long()
    inputs = dict(labeled=list(torch.randn(labeled, 3, *size)))
    samples = dict(labeled=[SegDataSample(gt_sem_seg=PixelData(data=x)) for x in label])
    valid, region = torch.zeros(2, 1, *size, dtype=torch.long)
    region[:, crop // 4 : crop // 2, crop // 4 : crop // 2] = 1
    place = dict(img_shape=size, crop_offset=(0, 0), overlap=(0, 0, *size), flip_direction=None, iou_in_range=True)
    for view in views:
        inputs[view] = list(torch.randn(unlabeled, 3, *size))
        samples[view] = [
            SegDataSample(metainfo=place, valid_map=PixelData(data=valid), cutmix_region=PixelData(data=region))
            for _ in range(unlabeled)
        ]
    return dict(inputs=inputs, data_samples=samples)


def batch_for(args: argparse.Namespace) -> dict[str, dict[str, list]]:
    """Make the batch that the method of the command line asks for."""
    views = MODELS.get(configure_model(args)['type']).view_names
    return random_batch(views, args.labeled, args.unlabeled, args.crop, args.classes)


def build_runner(args: argparse.Namespace, work_dir: str) -> Runner:
    """Build what trains, ready for its first step.

    Raises:
        SystemExit: If the config's model is none of this package.
    """
    cfg = load_config(args.config) if args.config else random_training(args)
    cfg.merge_from_dict(args.cfg_options)
    cfg.work_dir, cfg.log_level = work_dir, 'ERROR'
    prepare_device(cfg, 'none', args.amp)
    if args.config:
        runner = Runner.from_cfg(cfg)
    else:
        loader = DataLoader([batch_for(args)], batch_size=None, sampler=repeat(0))
        runner = Runner(**cfg.to_dict(), train_dataloader=loader)
    if not isinstance(runner.model, SemiSegmentor):
        raise SystemExit(f'{args.config}: {type(runner.model).__name__} has no teacher and student to look at')
    runner.load_or_resume()
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.optim_wrapper.initialize_count_status(runner.model, 0, runner.train_loop.max_iters)
    runner.message_hub.update_info('iter', runner.model.unsup_start + runner.model.unsup_rampup)
    for hook in runner.hooks:
        if isinstance(hook, (CompileHook, MeanTeacherHook)):
            hook.before_train(runner)
    runner.model.train()
    return runner


def networks(model: SemiSegmentor) -> list[nn.Module]:
    """List backbones, necks and heads of student and teacher, each stage of a cascade."""
    parts = []
    for name, part in [*model.student.named_children(), *model.teacher.named_children()]:
        if name != 'data_preprocessor':
            parts += part if isinstance(part, nn.ModuleList) else [part]
    return parts


class Clock:
    """Seconds of the parts of each step, exclusive.

    Args:
        device (torch.device): Which to wait for before a look at the clock.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.steps = []
        self._open = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of a block for ``name``, and not for the part around it."""
        self._pass_time()
        self._open.append(name)
        try:
            yield
        finally:
            self._pass_time()
            self._open.pop()

    def _pass_time(self) -> None:
        synchronize(self.device)
        now = time.perf_counter()
        if self._open:
            self.steps[-1][self._open[-1]] += now - self._last
        self._last = now

    @contextmanager
    def watching(self, runner: Runner) -> Iterator[None]:
        """Count calls inside a training step for their parts."""
        model, optim = runner.model, runner.optim_wrapper
        callables = [(part, 'forward', None) for part in networks(model)]
        callables += [(net, 'encode_decode', None) for net in (model.student, model.teacher)]
        callables += [(model.data_preprocessor, 'forward', PREPARE), (optim, 'backward', BACKWARD)]
        callables += [(optim, 'step', OPTIMIZER), (optim, 'zero_grad', OPTIMIZER)]

        def timed(call: Callable, name: str | None) -> Callable:
            def run(*args, **kwargs):
                with self.part(name or (STUDENT if torch.is_grad_enabled() else TARGET)):
                    return call(*args, **kwargs)

            return run

        with ExitStack() as stack:
            for owner, method, name in callables:
                stack.enter_context(patch.object(owner, method, timed(getattr(owner, method), name)))
            yield


def synchronize(device: torch.device) -> None:
    """Wait until a GPU is done."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def alike(given: object) -> object:
    """Cut tensors, however nested, off their graph; those that had a gradient will again."""
    return tree_map_only(Tensor, lambda x: x.detach().requires_grad_(x.requires_grad), given)


@contextmanager
def recorded(model: SemiSegmentor) -> Iterator[list[tuple[nn.Module, tuple, bool, list[bool]]]]:
    """Note the passes of the networks: module, inputs, whether with gradient, mode of each module inside."""
    passes = []

    def noting(part: nn.Module) -> Callable:
        forward = part.forward

        def run(*given: object) -> object:
            passes.append((part, alike(given), torch.is_grad_enabled(), [m.training for m in part.modules()]))
            return forward(*given)

        return run

    with ExitStack() as stack:
        for part in networks(model):
            stack.enter_context(patch.object(part, 'forward', noting(part)))
        yield passes


def bare_passes(passes: list, heads: set[nn.Module], size: tuple[int, int]) -> list[Tensor]:
    """Run the recorded forward passes, and give what had a gradient.

    A head's logits are enlarged to the image, where losses of segmentation are.
    """
    outputs = []
    for part, given, with_gradient, modes in passes:
        for module, mode in zip(part.modules(), modes, strict=True):
            module.training = mode
        with nullcontext() if with_gradient else torch.no_grad():
            out = tree_leaves(part(*alike(given)))
            if part in heads:
                out = [F.interpolate(logits, size, mode='bilinear') for logits in out]
        outputs += [feature for feature in out if feature.requires_grad]
    return outputs


def main() -> None:
    """Measure and print both tables."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as work_dir:
        measure(args, build_runner(args, work_dir))


def measure(args: argparse.Namespace, runner: Runner) -> None:
    """Time steps of a runner that is ready, and print both tables."""
    model, optim_wrapper = runner.model, runner.optim_wrapper
    device = next(model.parameters()).device
    batches = runner.train_loop.dataloader_iterator
    updates = [hook for hook in runner.hooks if isinstance(hook, MeanTeacherHook)]
    clock = Clock(device)

    def train_step() -> None:
        model.train_step(batch, optim_wrapper)

    def update() -> None:
        for hook in updates:
            hook.after_train_iter(runner, 0)

    batch = next(batches)
    train_step()  # warms up
    with recorded(model) as passes:
        train_step()
    with clock.watching(runner):
        for _ in range(args.repeats):
            clock.steps.append(defaultdict(float))
            with clock.part(DATA):
                batch = next(batches)
            with clock.part(METHOD):
                train_step()
            with clock.part(EMA):
                update()

    def step() -> None:
        train_step()
        update()
        synchronize(device)

    size = passes[0][1][0].shape[2:]
    heads = {part for part in networks(model) if hasattr(part, 'loss_decode')}

    def floor() -> None:
        with optim_wrapper.optim_context(model):
            outputs = bare_passes(passes, heads, size)
        torch.autograd.backward(outputs, [torch.ones_like(feature) for feature in outputs])
        optim_wrapper.zero_grad()
        model.train()
        synchronize(device)

    runs = {'step, data in memory': step, 'floor: bare network passes': floor}
    seconds, memory = {name: [] for name in runs}, {}
    for name, run in runs.items():
        run()
        memory[name] = peak_memory(run, device)
    for _ in range(args.repeats):
        batch = next(batches)
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]

    images = ', '.join(f'{len(view)} {name}' for name, view in batch['inputs'].items())
    where = torch.cuda.get_device_name(device) if device.type == 'cuda' else f'{torch.get_num_threads()} threads'
    print(f'{args.config or args.method}: {images} of {size[0]} x {size[1]}, {len(passes)} passes, {where}')
    whole = median(sum(parts.values()) for parts in clock.steps)
    print(f'{"part of a step":<38}{"time (ms)":>12}{"share":>8}')
    for name in PARTS:
        value = median(parts[name] for parts in clock.steps)
        print(f'{name:<38}{value * 1e3:>12.1f}{value / whole:>8.1%}')
    print(f'{"all":<38}{whole * 1e3:>12.1f}')
    print(f'{"":<38}{"time (ms)":>12}{"peak memory (MiB)":>20}')
    for name in runs:
        print(f'{name:<38}{median(seconds[name]) * 1e3:>12.1f}{memory[name] / 2**20:>20.0f}')
    print(f'{"ratio, pair by pair":<38}{median(ratios):>12.3f}')


if __name__ == '__main__':
    with errors_in_one_sentence():
        main()
