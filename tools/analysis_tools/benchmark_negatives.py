"""Time a step of context-aware consistency with different numbers of negatives (Lai et al. 2021, Table 4).

It costs what it can at most: the memory bank is full, the crops overlap entirely, each cell is an anchor in one of the
two directions, and all negatives but those of its own place count. Steps take turns, so that a busy machine slows all
alike; the table shows medians. Images are random; optimizer and teacher's update are left out.

Example:
    python tools/analysis_tools/benchmark_negatives.py 500 4000 19200 --threads 1
"""

import argparse
import time
from statistics import median

import torch
from benchmark_losses import peak_memory
from benchmark_step import batch_for, deeplabv3plus, synchronize
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmseg_semi.datasets.conversion import errors_in_one_sentence
from mmseg_semi.models import ContextAwareConsistency


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('\n\n')[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('negatives', type=int, nargs='*', default=[500, 19200], help='the first is the reference')
    parser.add_argument('--depth', type=int, default=18, help='of the ResNet in DeepLabv3+')
    parser.add_argument('--classes', type=int, default=21, help='classes')
    parser.add_argument('--crop', type=int, default=320, help='side of a crop')
    parser.add_argument('--labeled', type=int, default=2, help='labelled images')
    parser.add_argument('--unlabeled', type=int, default=2, help='unlabelled images')
    parser.add_argument('--repeats', type=int, default=7, help='timed steps')
    parser.add_argument('--threads', type=int, help="threads on the CPU, where not torch's own choice")
    parser.add_argument('--device', default='cpu', help='where to run')
    return parser.parse_args()


def build(args: argparse.Namespace, num_negatives: int) -> ContextAwareConsistency:
    """Build the method on random weights, with a full memory bank where it needs one."""
    contrast = dict(type='DirectionalContrastiveLoss', loss_weight=0.1, pos_threshold=0.0, negative_sampling=False)
    model = dict(type='ContextAwareConsistency', contrast=contrast, num_negatives=num_negatives)
    model = MODELS.build(dict(model, segmentor=deeplabv3plus(args))).to(args.device).train()
    if model.bank is not None:
        model.bank.push(torch.randn_like(model.bank.feature), torch.randint_like(model.bank.label, args.classes))
    return model


def main() -> None:
    """Measure and print the table."""
    args = parse_args()
    args.method = 'ContextAwareConsistency'
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    init_default_scope('mmseg')
    device, batch = torch.device(args.device), batch_for(args)
    models = {number: build(args, number) for number in args.negatives}

    def step(model: ContextAwareConsistency) -> None:
        data = model.data_preprocessor(batch, True)
        model.parse_losses(model.loss(**data))[0].backward()
        model.zero_grad()
        synchronize(device)

    seconds, memory = {number: [] for number in models}, {}
    for number, model in models.items():
        step(model)
        memory[number] = peak_memory(lambda model=model: step(model), device)
    for _ in range(args.repeats):
        for number, model in models.items():
            start = time.perf_counter()
            step(model)
            seconds[number].append(time.perf_counter() - start)

    images = f'{args.labeled} labelled + {args.unlabeled} unlabelled images of {args.crop} x {args.crop}'
    print(f'DeepLabv3+ R{args.depth}, {images}, {device}, {torch.get_num_threads()} threads')
    print(f'{"negatives":>12}{"time (ms)":>12}{"ratio, pair by pair":>22}{"peak memory (MiB)":>20}')
    reference = seconds[args.negatives[0]]
    for number, own in seconds.items():
        ratio = median(a / b for a, b in zip(own, reference, strict=True))
        print(f'{number:>12}{median(own) * 1e3:>12.0f}{ratio:>22.3f}{memory[number] / 2**20:>20.0f}')


if __name__ == '__main__':
    with errors_in_one_sentence():
        main()
