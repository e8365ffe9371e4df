"""Time the directional contrastive loss against the customary implementation, and measure the memory of both.

The customary one computes all anchors, and masks those that do not count. It takes the negatives chunk by chunk under
gradient checkpointing, so that the backward pass computes every similarity again. One step is both directions, forward
and backward, down to the features. The steps take turns, so that a busy machine slows both alike, and the table shows
the median. Extra memory is the peak of all that a step allocates, less the gradient of the features.

Example:
    python tools/analysis_tools/benchmark_contrastive.py --threads 2
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
import torch.nn.functional as F
from benchmark_losses import peak_memory
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mmseg_semi.models.losses import directional_contrastive_loss


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('\n\n')[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--anchors', type=int, default=6400, help='pixels of the overlap')
    parser.add_argument('--negatives', type=int, default=25600, help='negatives')
    parser.add_argument('--channels', type=int, default=128, help='channels of a feature')
    parser.add_argument('--classes', type=int, default=21, help='classes of the pseudo labels')
    parser.add_argument('--temperature', type=float, default=0.1, help='tau')
    parser.add_argument('--pos-threshold', type=float, default=0.75, help='gamma; confidences are uniform in [0, 1]')
    parser.add_argument('--ids', action='store_true', help='leave out negatives of the same place')
    parser.add_argument('--chunk', type=int, default=3200, help='negatives of a chunk of the customary implementation')
    parser.add_argument('--repeats', type=int, default=5, help='timed steps of each')
    parser.add_argument('--device', default='cpu', help='where to run')
    parser.add_argument('--threads', type=int, help="threads on the CPU, where not torch's own choice")
    parser.add_argument('--seed', type=int, default=0, help='seed of the features')
    return parser.parse_args()


def all_anchors_in_checkpoints(
    anchor: Tensor,
    positive: Tensor,
    anchor_conf: Tensor,
    positive_conf: Tensor,
    anchor_label: Tensor,
    negatives: Tensor,
    negative_label: Tensor,
    temperature: float,
    pos_threshold: float,
    anchor_id: Tensor | None = None,
    negative_id: Tensor | None = None,
    chunk: int = 3200,
) -> Tensor:
    """Directional contrastive loss as it is customarily written: everything for every anchor, masked at the end."""
    anchor, positive, negatives = F.normalize(anchor), F.normalize(positive.detach()), F.normalize(negatives)

    def sum_of(anchor: Tensor, part: slice) -> Tensor:
        mask = anchor_label[:, None] != negative_label[None, part]
        if anchor_id is not None:
            mask = mask & (anchor_id[:, None] != negative_id[None, part])
        return (mask.float() * (anchor @ negatives[part].t() / temperature).exp()).sum(dim=1)

    total = 0
    for first in range(0, len(negatives), chunk):
        total = total + checkpoint(sum_of, anchor, slice(first, first + chunk), use_reentrant=False)
    r = ((anchor * positive).sum(dim=1) / temperature).exp()
    mask = ((anchor_conf < positive_conf) & (positive_conf > pos_threshold)).float()
    return -(mask * (r / (r + total)).log()).sum() / mask.sum().clamp(min=1)


def main() -> None:
    """Measure and print the table."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device, number = torch.device(args.device), (2, args.anchors)
    features = torch.randn(*number, args.channels, device=device).requires_grad_()
    conf = torch.rand(number, device=device)
    label = torch.randint(args.classes, number, device=device)
    options = dict(
        negatives=torch.randn(args.negatives, args.channels, device=device),
        negative_label=torch.randint(args.classes, (args.negatives,), device=device),
        temperature=args.temperature,
        pos_threshold=args.pos_threshold,
    )
    if args.ids:
        options['anchor_id'] = torch.arange(args.anchors, device=device)
        options['negative_id'] = torch.randint(4 * args.anchors, (args.negatives,), device=device)

    def step(loss: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
        features.grad = None
        total = sum(loss(features[a], features[b], conf[a], conf[b], label[a], **options) for a, b in ((0, 1), (1, 0)))
        total.backward()
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        return total.detach(), features.grad

    customary, ours = 'all anchors, checkpoints', 'directional_contrastive_loss'
    losses = {
        customary: partial(all_anchors_in_checkpoints, chunk=args.chunk),
        ours: directional_contrastive_loss,
    }
    gradient = features.numel() * features.element_size()
    results, memory = {}, {}
    for name, loss in losses.items():
        results[name] = step(loss)  # warm up
        features.grad = None
        memory[name] = peak_memory(partial(step, loss), device) - gradient
    seconds = {name: [] for name in losses}
    for _ in range(args.repeats):
        for name, loss in losses.items():
            start = time.perf_counter()
            step(loss)
            seconds[name].append(time.perf_counter() - start)

    (value, grad), (expected, expected_grad) = results[ours], results[customary]
    print(
        f'{args.anchors} anchors x {args.negatives} negatives x {args.channels} channels on {device}, '
        f'{torch.get_num_threads()} threads, both directions, forward and backward'
    )
    print(
        f'difference of the value {abs(value - expected) / expected:.1e}, '
        f'of the gradient {(grad - expected_grad).norm() / expected_grad.norm():.1e}'
    )
    print(f'{"loss":<30}{"time (ms)":>12}{"ratio":>8}{"extra memory (MiB)":>21}{"ratio":>8}')
    for name in losses:
        time_ratio, memory_ratio = median(seconds[customary]) / median(seconds[name]), memory[customary] / memory[name]
        print(
            f'{name:<30}{median(seconds[name]) * 1e3:>12.1f}{time_ratio:>8.1f}'
            f'{memory[name] / 2**20:>21.1f}{memory_ratio:>8.1f}'
        )


if __name__ == '__main__':
    main()
