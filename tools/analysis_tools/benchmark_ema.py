"""Time the teacher's update: one fused call over all tensors against a loop over them.

    python tools/analysis_tools/benchmark_ema.py

Prints the median of interleaved runs on a ResNet-50, by default on the GPU if there is one.
"""

import argparse
import copy
import statistics
import time
from types import SimpleNamespace

import torch
from mmseg.models.backbones import ResNetV1c
from torch import nn

from mmseg_semi.engine import MeanTeacherHook


def loop(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Update as is customary in research code, tensor by tensor: new = old * (1 - m) + student * m, copied back."""
    with torch.no_grad():
        states = teacher.state_dict(), student.state_dict()
        for name, value in states[0].items():
            if value.is_floating_point():
                value.copy_(value * (1 - momentum) + states[1][name] * momentum)
            else:
                value.copy_(states[1][name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--repeats', type=int, default=50)
    args = parser.parse_args()

    student = ResNetV1c(depth=50).to(args.device)
    model = nn.ModuleDict(dict(student=student, teacher=copy.deepcopy(student).requires_grad_(False)))
    hook = MeanTeacherHook(momentum=0.001)
    runner = SimpleNamespace(model=model, iter=0, optim_wrapper=SimpleNamespace(should_update=lambda: True))
    hook.before_train(runner)
    updates = {'fused': lambda: hook.after_train_iter(runner, 0), 'loop': lambda: loop(model.teacher, student, 0.001)}
    times = {name: [] for name in updates}
    for _ in range(args.repeats):
        for name, update in updates.items():
            if args.device == 'cuda':
                torch.cuda.synchronize()
            start = time.perf_counter()
            update()
            if args.device == 'cuda':
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - start)
    medians = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f'{name}: {value:.2f} ms')
    print(f'ratio: {medians["loop"] / medians["fused"]:.1f}')


if __name__ == '__main__':
    main()
