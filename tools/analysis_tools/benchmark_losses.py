"""Time the losses, and measure the memory that they need besides their gradient.

One step is a forward and a backward pass down to the map that a network put out. The steps of all losses take turns,
so that a busy machine slows all of them alike, and the table shows the median. Extra memory is the peak of all that a
step allocates, less the gradient map, which every loss needs. A ratio compares a consistency loss with the pixel
consistency loss, and what takes logits with plain cross entropy.

Example:
    python tools/analysis_tools/benchmark_losses.py --size 769 769 --batch 2 --classes 19 --threads 2
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from mmseg_semi.models.losses import (
    boundary_relaxed_cross_entropy,
    inter_pixel_loss,
    pixel_consistency_loss,
    pseudo_label_cross_entropy,
    structured_consistency_loss,
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('\n\n')[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--size', type=int, nargs=2, default=(769, 769), metavar=('H', 'W'), help='pixels of a map')
    parser.add_argument('--batch', type=int, default=2, help='images')
    parser.add_argument('--classes', type=int, default=19, help='classes')
    parser.add_argument('--boxes', type=int, default=32, help='pasted boxes, which together cover about half an image')
    parser.add_argument('--num-boxes', type=int, default=16, help='boxes that structured consistency looks at')
    parser.add_argument('--num-pairs', type=int, default=9000, help='most pairs of a box')
    parser.add_argument('--window-size', type=int, default=3, help='window of the boundary relaxation')
    parser.add_argument('--object-size', type=int, default=32, help='side of the squares of one label; 1 for noise')
    parser.add_argument('--repeats', type=int, default=7, help='timed steps of each loss')
    parser.add_argument('--device', default='cpu', help='where to run')
    parser.add_argument('--threads', type=int, help="threads on the CPU, where not torch's own choice")
    parser.add_argument('--all-pairs', action='store_true', help='time structured consistency over all pairs too')
    parser.add_argument('--loop', action='store_true', help='time structured consistency as a loop over boxes too')
    parser.add_argument('--seed', type=int, default=0, help='seed of the maps and boxes')
    return parser.parse_args()


def random_region(batch: int, height: int, width: int, boxes: int) -> Tensor:
    """Paste boxes of random place and size, which cover about half of each image.

    Returns:
        Tensor: (batch, height, width) int64, 0 or the number of the box that shows.
    """
    side = (1 - 0.5 ** (1 / max(boxes, 1))) ** 0.5  # of a box, as a part of the image's
    region = torch.zeros(batch, height, width, dtype=torch.long)
    for image in region:
        for number, (tall, wide, y, x) in enumerate(torch.rand(boxes, 4).tolist(), start=1):
            h, w = round(height * side * (0.7 + 0.6 * tall)), round(width * side * (0.7 + 0.6 * wide))
            top, left = round((height - h) * y), round((width - w) * x)
            image[top : top + h, left : left + w] = number
    return region


def loop_over_boxes(student: Tensor, teacher: Tensor, region: Tensor, num_boxes: int, num_pairs: int) -> Tensor:
    """Structured consistency as its equation is written down: image after image, box after box."""
    total = student.new_zeros(())
    for image_student, image_teacher, image_region in zip(student, teacher, region, strict=True):
        last = int(image_region.max())
        for number in range(max(last - num_boxes, 0) + 1, last + 1):
            shown = image_region == number
            size = int(shown.sum())
            if size == 0:
                continue
            i, j = torch.randint(size, (2, min(size**2, num_pairs)), device=region.device)
            s, t = image_student[:, shown], image_teacher[:, shown]
            similarity = F.cosine_similarity(s[:, i], s[:, j], dim=0) - F.cosine_similarity(t[:, i], t[:, j], dim=0)
            total = total + similarity.square().mean()
    return total / len(student)


def step(loss: Callable[[Tensor], Tensor], output: Tensor) -> None:
    """Run a loss forward and backward."""
    output.grad = None
    loss(output).backward()
    if output.is_cuda:
        torch.cuda.synchronize(output.device)


def peak_memory(run: Callable[[], None], device: torch.device) -> int:
    """Measure the most bytes that a run holds at one time, over what was held before it."""
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / 'trace.json'
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())['traceEvents']
    held = peak = 0
    for event in sorted((event for event in events if event['name'] == '[memory]'), key=lambda event: event['ts']):
        held += event['args']['Bytes']
        peak = max(peak, held)
    return peak


def main() -> None:
    """Measure and print the table."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device = torch.device(args.device)
    shape = (args.batch, args.classes, *args.size)
    logits = torch.randn(shape, device=device).requires_grad_()
    student = torch.randn(shape, device=device).softmax(dim=1).requires_grad_()
    teacher = torch.randn(shape, device=device).softmax(dim=1)
    region = random_region(args.batch, *args.size, args.boxes).to(device)
    coarse = torch.randint(args.classes, (args.batch, 1, *(side // args.object_size + 1 for side in args.size)))
    label = F.interpolate(coarse.float(), scale_factor=args.object_size)[:, 0, : args.size[0], : args.size[1]]
    label = label.long().to(device)

    structured = partial(
        structured_consistency_loss,
        teacher_prob=teacher,
        region=region,
        num_boxes=args.num_boxes,
        num_regions=args.boxes,
    )
    scores = torch.randn(shape, device=device) * 3
    confidence, pseudo_label = scores.softmax(dim=1).max(dim=1)
    confident = confidence > confidence.median()
    pixel, plain = 'pixel consistency', 'cross entropy'
    losses = {  # name: (loss, its input, what it is compared with)
        pixel: (lambda prob: pixel_consistency_loss(prob, teacher), student, pixel),
        'structured consistency': (partial(structured, num_pairs=args.num_pairs), student, pixel),
        plain: (lambda output: F.cross_entropy(output, label), logits, plain),
        'boundary relaxation': (
            lambda output: boundary_relaxed_cross_entropy(output, label, args.window_size),
            logits,
            plain,
        ),
        'pseudo label cross entropy': (
            lambda output: pseudo_label_cross_entropy(output, pseudo_label, confident),
            logits,
            plain,
        ),
        'inter-pixel, kl': (lambda output: inter_pixel_loss(output, scores, confident), logits, plain),
        'inter-pixel, correlation': (
            lambda output: inter_pixel_loss(output, scores, confident, mode='correlation'),
            logits,
            plain,
        ),
    }
    if args.all_pairs:
        losses['structured, all pairs'] = (partial(structured, num_pairs=None), student, pixel)
    if args.loop:
        loop = partial(
            loop_over_boxes, teacher=teacher, region=region, num_boxes=args.num_boxes, num_pairs=args.num_pairs
        )
        losses['structured, loop over boxes'] = (loop, student, pixel)

    memory = {}
    for name, (loss, output, _) in losses.items():
        step(loss, output)  # warm up
        output.grad = None
        memory[name] = peak_memory(partial(step, loss, output), device) - output.numel() * output.element_size()
    seconds = {name: [] for name in losses}
    for _ in range(args.repeats):
        for name, (loss, output, _) in losses.items():
            start = time.perf_counter()
            step(loss, output)
            seconds[name].append(time.perf_counter() - start)

    covered = (region > 0).float().mean().item()
    print(f'maps {"x".join(map(str, shape))} on {device}, {torch.get_num_threads()} threads')
    gradient = student.numel() * student.element_size() / 2**20
    print(f'{args.boxes} boxes cover {covered:.0%}; gradient map {gradient:.0f} MiB')
    print(f'{"loss":<30}{"time (ms)":>12}{"ratio":>8}{"extra memory (MiB)":>21}')
    for name, (_, _, reference) in losses.items():
        ratio = median(seconds[name]) / median(seconds[reference])
        print(f'{name:<30}{median(seconds[name]) * 1e3:>12.1f}{ratio:>8.2f}{memory[name] / 2**20:>21.1f}')


if __name__ == '__main__':
    main()
