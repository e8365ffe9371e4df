"""Train methods x label fractions x seeds on CamVid, one run after another, and collect what came out.

Runs that have a result are skipped, interrupted ones continue from their last checkpoint. Results are JSON lines, one
object a run, in ``results/PROTOCOL.jsonl``; the table ``PROTOCOL.md`` beside them is made anew after every run. With
``--robustness``, ``robustness.jsonl`` and ``robustness.md`` tell how each network does on corrupted images.

Examples:
    python projects/camvid_benchmark/run.py --methods supervised unimatch --fractions 1_8 --seeds 0 1 2
    python projects/camvid_benchmark/run.py --protocol holdout --methods supervised structured-consistency --seeds 0 \
        --sweep model.consistency.0.loss_weight=0.3,1,3
"""

import argparse
import hashlib
import itertools
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mmengine
import mmseg
from mmengine.config import Config, DictAction

from mmseg_semi.datasets import ImageCorruption
from mmseg_semi.visualization.comparison import evaluate
from mmseg_semi.visualization.runs import Run, Spread

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CONFIGS = ROOT / 'configs'
SPLITS = CONFIGS / '_base_/datasets/splits/camvid'
CROPS = dict(small='160x160', holdout='160x160', full='352x352')  # of each protocol
FRACTIONS = ('1_32', '1_8', '1_4', 'full')
CORRUPTIONS, SEVERITY = ('gaussian_noise', 'motion_blur', 'fog', 'jpeg_compression'), 3


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
    options: dict[str, Any] = {}  # in which it differs from its config, beyond what the others say

    @property
    def name(self) -> str:
        name = f'{self.protocol}-{self.method}-{self.fraction}-{self.seed}'
        if not self.options:
            return name
        text = json.dumps(self.options, sort_keys=True)
        return f'{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}'

    @property
    def supervised(self) -> 'Job':
        """The supervised run to compare with: the same, but for the options that concern the method alone."""
        shared = {
            key: value
            for key, value in self.options.items()
            if not key.startswith(('model.', 'train_dataloader.dataset.unlabeled')) or key.startswith('model.segmentor')
        }
        return self._replace(method='supervised', options=shared)

    def config(self) -> Config:
        """Read the method's config and set the options."""
        cfg = Config.fromfile(find_configs(self.protocol)[self.method])
        cfg.merge_from_dict(self.options)
        return cfg

    def settings(self, data_root: str | None = None, processes: int = 1) -> dict[str, Any]:
        """Give all settings in which the run differs from its config.

        Raises:
            SystemExit: If the processes cannot share a batch.
        """
        train = self.config().train_dataloader
        lists = {part: str(SPLITS / self.fraction / f'{part}.txt') for part in ('labeled', 'unlabeled')}
        if self.fraction == 'full':
            lists['labeled'] = ''
        settings: dict[str, Any] = {'randomness.seed': self.seed}
        if self.protocol == 'holdout':
            lists['unlabeled'] = str(SPLITS / 'holdout/unlabeled.txt')
            settings['val_dataloader.dataset.ann_file'] = str(SPLITS / 'holdout/labeled.txt')
            for kind, folder in train.dataset.labeled.data_prefix.items():
                settings[f'val_dataloader.dataset.data_prefix.{kind}'] = folder
        parts = {part: f'train_dataloader.dataset.{part}' for part in lists if part in train.dataset}
        settings.update({f'{key}.ann_file': lists[part] for part, key in parts.items()})
        if data_root:
            settings.update({f'{key}.data_root': data_root for key in (*parts.values(), 'val_dataloader.dataset')})
        settings.update(self.options)
        if processes > 1:  # they share the batch
            images, rest = divmod(train.batch_size, processes * len(parts))
            if rest:
                raise SystemExit(f'{processes} processes cannot share the batch of {train.batch_size} of {self.name}')
            for key in ('batch_size', 'sampler.batch_size'):
                settings[f'train_dataloader.{key}'] = images * len(parts)
            settings['train_dataloader.sampler.source_ratio'] = [1] * len(parts)
        return settings


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--protocol', choices=CROPS, default='small',
        help='small: half resolution, for CPUs; holdout: the same, validated on training images that are held out, to '
        'choose settings; full: 480 x 360',
    )  # fmt: skip
    parser.add_argument('--methods', nargs='+', metavar='METHOD', help='first parts of config names; default: all')
    parser.add_argument('--fractions', nargs='+', choices=FRACTIONS, default=['1_8'], help='of labelled images')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--data-root', type=os.path.abspath, help='folder of CamVid; default: data/camvid')
    parser.add_argument(
        '--work-dir', type=os.path.abspath, default=ROOT / 'work_dirs/camvid_benchmark', help='logs, checkpoints'
    )
    parser.add_argument('--results', type=Path, default=HERE / 'results', help='folder of results and table')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
        help='override settings, as for tools/train.py; they are recorded, and make a run another one',
    )  # fmt: skip
    parser.add_argument(
        '--sweep', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE,VALUE',
        help='the same, with a run for each value; of several keys, each combination. Supervised runs are swept only '
        'over what concerns them',
    )  # fmt: skip
    parser.add_argument('--robustness', action='store_true', help='also test each network on corrupted images')
    parser.add_argument('--gpus', type=int, default=1, help='processes of a run, each with a GPU where there is one')
    parser.add_argument('--stop-after', type=float, metavar='MINUTES', help='start no run later than this')
    return parser.parse_args()


def plan(args: argparse.Namespace) -> list[Job]:
    """List the runs, seed by seed, so that what is done first can be compared.

    Raises:
        SystemExit: If a method has no config, a fraction has nothing to hold out, or corruptions are not installed.
    """
    configs = find_configs(args.protocol)
    methods = args.methods or list(configs)
    unknown = [method for method in methods if method not in configs]
    if unknown:
        raise SystemExit(f'no CamVid config of {", ".join(unknown)}; there are {", ".join(configs)}')
    if args.protocol == 'holdout' and 'full' in args.fractions:
        raise SystemExit('--fractions full labels the images that --protocol holdout validates on')
    if args.robustness:
        try:
            [ImageCorruption(name, SEVERITY) for name in CORRUPTIONS]
        except ImportError as error:
            raise SystemExit(f'--robustness: {error}') from error
    jobs = []
    for seed, fraction in itertools.product(args.seeds, args.fractions):
        for method in sorted(methods, key=lambda method: method != 'supervised'):
            for options in combinations(args.cfg_options, args.sweep):
                job = Job(method, fraction, seed, args.protocol, options)
                job = job.supervised if method == 'supervised' else job
                if (fraction != 'full' or method == 'supervised') and job not in jobs:
                    jobs.append(job)
    return jobs


def combinations(options: dict[str, Any], sweep: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Spell a sweep out, in the types of JSON."""
    values = [found if isinstance(found, list) else [found] for found in sweep.values()]
    for chosen in itertools.product(*values):
        yield json.loads(json.dumps({**options, **dict(zip(sweep, chosen, strict=True))}))


def train(job: Job, config: Path, work_dir: Path, gpus: int) -> int:
    """Train in a process of its own; give its peak memory in MiB.

    Raises:
        SystemExit: If it fails.
    """
    arguments = [str(config), '--work-dir', str(work_dir), '--resume']
    if gpus == 1:
        command = [sys.executable, 'tools/train.py', *arguments]
    else:
        command = ['bash', 'tools/dist_train.sh', arguments[0], str(gpus), *arguments[1:]]
    return call(job, command, work_dir / 'output.txt')


def call(job: Job, command: list[str], log: Path) -> int:
    """Run one of the tools; give its peak memory in MiB.

    Raises:
        SystemExit: If it fails.
    """
    with open(log, 'ab') as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=dict(os.environ, PYTHON=sys.executable)
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if status:
        raise SystemExit(f'{job.name} failed: see {log}; the same command continues it')
    return usage.ru_maxrss // 1024


def take_over(job: Job, work_dir: Path, supervised: Path) -> None:
    """Begin with checkpoint and log of the supervised run where that one is the same so far.

    Until its unsupervised losses count, a method trains as the supervised run does. One with heads of its own (a
    projector), which that checkpoint lacks, trains this part itself.
    """
    model = job.config().model
    source = supervised / f'iter_{model.get("unsup_start", 0)}.pth'
    if (work_dir / 'last_checkpoint').exists() or not source.exists() or 'projector' in model:
        return
    for log in supervised.glob('*/vis_data'):
        shutil.copytree(log.parent, work_dir / log.parent.name, dirs_exist_ok=True)
    target = work_dir / source.name
    shutil.copyfile(source, target)
    (work_dir / 'last_checkpoint').write_text(str(target))


def describe(job: Job, work_dir: Path, config: Path, memory: int) -> dict[str, Any]:
    """Collect what is known of a finished run."""
    run = Run(work_dir)
    result = run.result()
    evaluation = evaluate(run, work_dir / 'evaluation')
    result['environment'] = dict(
        result['environment'],
        mmengine=mmengine.__version__,
        mmseg=mmseg.__version__,
        python=platform.python_version(),
        threads=os.environ.get('OMP_NUM_THREADS'),
    )
    return dict(
        **job._asdict(),
        **result,
        iou={name: round(iou, 2) for name, iou in evaluation.iou.items() if iou is not None},
        boundary_iou=round(evaluation.boundary_iou, 2),
        ece=evaluation.ece,
        curve=[
            dict(iter=line['step'], teacher=line['teacher/mIoU'], student=line['student/mIoU'])
            for line in run.validations
        ],
        iterations_per_second=round(run.iterations / run.seconds, 3),
        peak_memory_mib=run.memory or memory,
        config=str(config.relative_to(ROOT)),
    )


def test_corrupted(trained: dict[str, Any], cfg: Config, work_dir: Path) -> dict[str, Any]:
    """Test the network of a result on corrupted images.

    Raises:
        SystemExit: If its checkpoint is gone, or the test fails.
    """
    job = job_of(trained)
    checkpoint = work_dir / f'iter_{cfg.train_cfg.max_iters}.pth'
    if not checkpoint.exists():
        raise SystemExit(f'{job.name}: {checkpoint} is gone; take its result away to train it again')
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = Config.fromfile(CONFIGS / '_base_/evaluation.py').evaluation
    folder, severity = work_dir / 'robustness', str(SEVERITY)
    folder.mkdir(exist_ok=True)
    cfg.dump(folder / 'config.py')
    command = [
        sys.executable, 'tools/analysis_tools/test_robustness.py', str(folder / 'config.py'), str(checkpoint),
        '--corruptions', *CORRUPTIONS, '--severities', severity, '--work-dir', str(folder / 'logs'),
    ]  # fmt: skip
    call(job, command, folder / 'output.txt')
    results = json.loads((folder / 'logs/robustness.json').read_text())['results']
    metrics = dict(clean=results['clean']['0'], **{name: results[name][severity] for name in CORRUPTIONS})
    network = {key: trained[key] for key in ('commit', 'environment')}
    return dict(**job._asdict(), severity=SEVERITY, metrics=metrics, **network)


def read_results(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, result: dict[str, Any]) -> None:
    with open(path, 'a') as lines:
        lines.write(json.dumps(result) + '\n')


def job_of(result: dict[str, Any]) -> Job:
    """Tell which run a result is of."""
    return Job(**{key: result[key] for key in Job._fields if key in result})


def write_table(results: list[dict[str, Any]], path: Path) -> None:
    """Write mean and standard deviation over seeds, and the gain over the supervised run of the same seed."""
    gains = gains_of(results, 'miou_teacher')
    rows = [
        [
            *first_cells(runs),
            *(spread([r[key] for r in runs]) for key in ('miou_teacher', 'miou_student')),
            spread(gains_in(runs, gains), sign='+'),
            *(spread([r[key] for r in runs]) for key in ('boundary_iou', 'ece', 'iterations_per_second')),
            str(max(r['peak_memory_mib'] or 0 for r in runs) or ''),
        ]
        for runs in rows_of(results)
    ]
    write_rows(
        ['teacher', 'student', 'gain of the teacher', 'boundary IoU', 'ECE', 'iterations / s', 'MiB'], rows, path
    )


def write_robustness_table(results: list[dict[str, Any]], path: Path) -> None:
    """Write mIoU on clean and corrupted images, and the mean of the latter with its gain and calibration error."""

    def mean(result: dict[str, Any], key: str) -> float:
        return sum(result['metrics'][name][key] for name in CORRUPTIONS) / len(CORRUPTIONS)

    results = [dict(r, mIoU=mean(r, 'mIoU'), ECE=mean(r, 'ECE')) for r in results]
    gains = gains_of(results, 'mIoU')
    shown = ('clean', *CORRUPTIONS)
    rows = [
        [
            *first_cells(runs),
            *(spread([r['metrics'][name]['mIoU'] for r in runs]) for name in shown),
            spread([r['mIoU'] for r in runs]),
            spread(gains_in(runs, gains), sign='+'),
            spread([r['ECE'] for r in runs]),
        ]
        for runs in rows_of(results)
    ]
    write_rows([*shown, 'mean of corruptions', 'gain', 'ECE'], rows, path)


def write_rows(columns: list[str], rows: list[list[str]], path: Path) -> None:
    """Write a table whose rows begin with their :func:`first_cells`."""
    columns = ['protocol', 'labels', 'method', 'seeds', *columns]
    lines = [f'| {" | ".join(cells)} |' for cells in (columns, *rows)]
    lines.insert(1, '|---' * len(columns) + '|')
    path.write_text('\n'.join(lines) + '\n')


def rows_of(results: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Put results together that differ in their seed alone, supervised ones of a fraction first."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in sorted(results, key=lambda r: (r['protocol'], r['fraction'], r['method'] != 'supervised')):
        groups.setdefault(job_of(result)._replace(seed=0).name, []).append(result)
    return list(groups.values())


def first_cells(runs: list[dict[str, Any]]) -> list[str]:
    """Name the runs of a row."""
    method, fraction, _, protocol, options = job_of(runs[0])
    options = [f'`{key}={value}`' for key, value in options.items()]
    seeds = ', '.join(str(seed) for seed in sorted(r['seed'] for r in runs))
    return [protocol, fraction.replace('_', '/'), ', '.join([method, *options]), seeds]


def gains_of(results: list[dict[str, Any]], key: str) -> dict[str, float]:
    """Compare runs with the supervised run of the same seed, where there is one; give the gains by name of the run."""
    values = {job_of(result).name: result[key] for result in results}
    jobs = [job for job in map(job_of, results) if job.method != 'supervised' and job.supervised.name in values]
    return {job.name: values[job.name] - values[job.supervised.name] for job in jobs}


def gains_in(runs: list[dict[str, Any]], gains: dict[str, float]) -> list[float]:
    return [gains[name] for name in (job_of(run).name for run in runs) if name in gains]


def spread(values: list[float], sign: str = '') -> str:
    if not values:
        return ''
    mean, std, _ = Spread.of(values)
    return f'{mean:{sign}.1f}' if std is None else f'{mean:{sign}.1f} +- {std:.1f}'


def main() -> None:
    args = parse_args()
    jobs = plan(args)
    settings = [job.settings(args.data_root, args.gpus) for job in jobs]
    configs = find_configs(args.protocol)
    args.results.mkdir(parents=True, exist_ok=True)
    file, robustness = args.results / f'{args.protocol}.jsonl', args.results / 'robustness.jsonl'
    started = time.time()
    for number, (job, changed) in enumerate(zip(jobs, settings, strict=True), start=1):
        done, tested = (job in map(job_of, read_results(path)) for path in (file, robustness))
        if done and (tested or not args.robustness):
            print(f'{job.name}: done before')
            continue
        if args.stop_after and time.time() - started > 60 * args.stop_after:
            print(f'{len(jobs) - number + 1} runs left; the same command goes on with them')
            return
        config, work_dir = configs[job.method], Path(args.work_dir, job.name)
        whole = job.config()
        whole.merge_from_dict(changed)
        print(f'{job.name} ({number} of {len(jobs)}): {work_dir}', flush=True)
        if not done:
            work_dir.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(work_dir / 'robustness', ignore_errors=True)
            whole.dump(work_dir / config.name)
            take_over(job, work_dir, Path(args.work_dir, job.supervised.name))
            memory = train(job, work_dir / config.name, work_dir, args.gpus)
            result = describe(job, work_dir, config, memory)
            append(file, result)
            print(f'{job.name}: teacher {result["miou_teacher"]:.1f}, student {result["miou_student"]:.1f}', flush=True)
            write_table(read_results(file), file.with_suffix('.md'))
        if args.robustness and not tested:
            (trained,) = (result for result in read_results(file) if job_of(result) == job)
            append(robustness, test_corrupted(trained, whole, work_dir))
            write_robustness_table(read_results(robustness), robustness.with_suffix('.md'))


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('terminated; the same command goes on'))  # and ends its training
    main()
