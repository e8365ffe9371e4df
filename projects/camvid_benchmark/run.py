"""Train methods x label fractions x seeds on CamVid, one run after another, and collect what came out.

Runs that have a result are skipped, interrupted ones continue from their last checkpoint. Results are JSON lines, one
object a run; ``table.md`` beside them is made anew after every run.

Example:
    python projects/camvid_benchmark/run.py --methods supervised unimatch --fractions 1_8 --seeds 0 1 2
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from mmseg_semi.visualization.comparison import evaluate
from mmseg_semi.visualization.runs import Run, Spread

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CONFIGS = ROOT / 'configs'
SPLITS = CONFIGS / '_base_/datasets/splits/camvid'
CROPS = dict(small='160x160', full='352x352')
FRACTIONS = ('1_32', '1_8', '1_4', 'full')


def find_configs(protocol: str) -> dict[str, Path]:
    """Find the config of every method, by name."""
    found = sorted(CONFIGS.glob(f'*/*_deeplabv3plus_efficientnet-lite0_*_camvid-1_8-{CROPS[protocol]}.py'))
    return {path.name.split('_')[0]: path for path in found}


class Job(NamedTuple):
    """One run."""

    method: str
    fraction: str
    seed: int
    protocol: str

    @property
    def name(self) -> str:
        return f'{self.protocol}-{self.method}-{self.fraction}-{self.seed}'

    def options(self, cfg: Config, data_root: str | None) -> dict[str, Any]:
        """Give the settings in which the run differs from its config."""
        options = {'randomness.seed': self.seed}
        dataset = cfg.train_dataloader.dataset
        if self.fraction == 'full':
            options['train_dataloader.dataset.labeled.ann_file'] = ''
        elif self.fraction != '1_8':
            for part in ('labeled', 'unlabeled'):
                if part in dataset:
                    options[f'train_dataloader.dataset.{part}.ann_file'] = str(SPLITS / self.fraction / f'{part}.txt')
        if data_root:
            parts = [f'train_dataloader.dataset.{part}' for part in ('labeled', 'unlabeled') if part in dataset]
            options.update({f'{part}.data_root': data_root for part in (*parts, 'val_dataloader.dataset')})
        return options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--protocol', choices=CROPS, default='small', help='half resolution for CPUs, or 480 x 360')
    parser.add_argument('--methods', nargs='+', metavar='METHOD', help='first parts of config names; default: all')
    parser.add_argument('--fractions', nargs='+', choices=FRACTIONS, default=['1_8'], help='of labelled images')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--data-root', help='folder of CamVid; default: data/camvid')
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/camvid_benchmark', help='logs, checkpoints')
    parser.add_argument('--results', type=Path, default=HERE / 'results', help='folder of results and table')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='override settings, as for tools/train.py')
    parser.add_argument('--gpus', type=int, default=1, help='processes of a run, each with a GPU where there is one')
    parser.add_argument('--stop-after', type=float, metavar='MINUTES', help='start no run later than this')
    return parser.parse_args()


def plan(args: argparse.Namespace) -> Iterator[Job]:
    """List the runs, seed by seed, so that what is done first can be compared.

    Raises:
        SystemExit: If a method has no config.
    """
    configs = find_configs(args.protocol)
    methods = args.methods or list(configs)
    unknown = [method for method in methods if method not in configs]
    if unknown:
        raise SystemExit(f'no CamVid config of {", ".join(unknown)}; there are {", ".join(configs)}')
    for seed in args.seeds:
        for fraction in args.fractions:
            for method in sorted(methods, key=lambda method: method != 'supervised'):
                if fraction != 'full' or method == 'supervised':
                    yield Job(method, fraction, seed, args.protocol)


def train(job: Job, config: Path, settings: list[str], work_dir: Path, gpus: int) -> int:
    """Train in a process of its own; give its peak memory in MiB.

    Raises:
        SystemExit: If it fails; its output is in ``WORK_DIR/output.txt``.
    """
    command = [str(config), '--work-dir', str(work_dir), '--resume', '--cfg-options', *settings]
    launch = [sys.executable, 'tools/train.py'] if gpus == 1 else ['bash', 'tools/dist_train.sh']
    if gpus > 1:
        command.insert(1, str(gpus))
    work_dir.mkdir(parents=True, exist_ok=True)
    with open(work_dir / 'output.txt', 'ab') as output:
        process = subprocess.Popen([*launch, *command], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            raise
    if status:
        raise SystemExit(f'{job.name} failed: see {work_dir / "output.txt"}; the same command continues it')
    return usage.ru_maxrss // 1024


def take_over(cfg: Config, work_dir: Path, supervised: Path) -> None:
    """Begin with checkpoint and log of the supervised run where that one is the same so far.

    Until its unsupervised losses count, a method without heads of its own trains as the supervised run does.
    """
    start = cfg.model.get('unsup_start', 0)
    source = supervised / f'iter_{start}.pth'
    if (work_dir / 'last_checkpoint').exists() or not source.exists() or 'projector' in cfg.model:
        return
    work_dir.mkdir(parents=True, exist_ok=True)
    for log in supervised.glob('*/vis_data'):
        shutil.copytree(log.parent, work_dir / log.parent.name, dirs_exist_ok=True)
    target = work_dir / source.name
    shutil.copyfile(source, target)
    (work_dir / 'last_checkpoint').write_text(str(target))


def describe(job: Job, work_dir: Path, config: Path, memory: int) -> dict[str, Any]:
    """Collect what is known of a finished run."""
    run = Run(work_dir)
    last = run.validations[-1]
    return dict(
        **job._asdict(),
        miou_teacher=round(last['teacher/mIoU'], 2),
        miou_student=round(last['student/mIoU'], 2),
        iou={
            name: round(iou, 2) for name, iou in evaluate(run, work_dir / 'evaluation').iou.items() if iou is not None
        },
        curve=[
            dict(iter=line['step'], teacher=round(line['teacher/mIoU'], 2), student=round(line['student/mIoU'], 2))
            for line in run.validations
        ],
        iterations=run.iterations,
        seconds=round(run.seconds, 1),
        iterations_per_second=round(run.iterations / run.seconds, 3),
        peak_memory_mib=run.memory or memory,
        config=str(config.relative_to(ROOT)),
        commit=subprocess.run(
            ['git', 'describe', '--always', '--dirty'], cwd=ROOT, capture_output=True, text=True
        ).stdout.strip(),
        environment=dict(run.environment, python=platform.python_version(), threads=os.environ.get('OMP_NUM_THREADS')),
    )


def read_results(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write_table(results: list[dict[str, Any]], path: Path) -> None:
    """Write mean and standard deviation over seeds, and the gain over the supervised run of the same seed."""
    base = {
        (r['protocol'], r['fraction'], r['seed']): r['miou_teacher'] for r in results if r['method'] == 'supervised'
    }
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for result in sorted(results, key=lambda r: (r['protocol'], r['fraction'], r['method'] != 'supervised')):
        groups.setdefault((result['protocol'], result['fraction'], result['method']), []).append(result)
    lines = [
        '| protocol | labels | method | seeds | teacher | student | gain of the teacher | iterations / s | MiB |',
        '|---|---|---|---|---|---|---|---|---|',
    ]
    for (protocol, fraction, method), runs in groups.items():
        gains = [r['miou_teacher'] - base[key] for r in runs if (key := (protocol, fraction, r['seed'])) in base]
        cells = [
            protocol,
            fraction.replace('_', '/'),
            method,
            ', '.join(str(seed) for seed in sorted(r['seed'] for r in runs)),
            spread([r['miou_teacher'] for r in runs]),
            spread([r['miou_student'] for r in runs]),
            spread(gains, sign='+') if gains and method != 'supervised' else '',
            spread([r['iterations_per_second'] for r in runs]),
            str(max(r['peak_memory_mib'] or 0 for r in runs) or ''),
        ]
        lines.append(f'| {" | ".join(cells)} |')
    path.write_text('\n'.join(lines) + '\n')


def spread(values: list[float], sign: str = '') -> str:
    mean, std, _ = Spread.of(values)
    return f'{mean:{sign}.1f}' if std is None else f'{mean:{sign}.1f} +- {std:.1f}'


def main() -> None:
    args = parse_args()
    jobs = list(plan(args))
    configs = find_configs(args.protocol)
    args.results.mkdir(parents=True, exist_ok=True)
    file = args.results / f'{args.protocol}.jsonl'
    started = time.time()
    for number, job in enumerate(jobs, start=1):
        if any(all(result[key] == value for key, value in job._asdict().items()) for result in read_results(file)):
            print(f'{job.name}: done before')
            continue
        if args.stop_after and time.time() - started > 60 * args.stop_after:
            print(f'{len(jobs) - number + 1} runs left; the same command goes on with them')
            return
        config, work_dir = configs[job.method], args.work_dir / job.name
        cfg = Config.fromfile(config)
        take_over(cfg, work_dir, args.work_dir / job._replace(method='supervised').name)
        print(f'{job.name} ({number} of {len(jobs)}): {work_dir}', flush=True)
        settings = [f'{key}={value}' for key, value in job.options(cfg, args.data_root).items()]
        memory = train(job, config, [*settings, *args.cfg_options], work_dir, args.gpus)
        result = describe(job, work_dir, config, memory)
        with open(file, 'a') as lines:
            lines.write(json.dumps(result) + '\n')
        print(f'{job.name}: teacher {result["miou_teacher"]:.1f}, student {result["miou_student"]:.1f}', flush=True)
        write_table(read_results(file), args.results / f'{args.protocol}.md')


if __name__ == '__main__':
    main()
