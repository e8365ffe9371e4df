"""What training left in its work dirs, and which runs are one method with several seeds."""

import json
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from mmseg_semi.datasets.splits import read_list


class Spread(NamedTuple):
    """Mean and sample standard deviation over seeds; ``std`` is None for one value."""

    mean: float
    std: float | None
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> 'Spread | None':
        """Summarize values, if there are any."""
        if not values:
            return None
        return cls(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None, tuple(values))


class Run:
    """One training run, read from its work dir.

    Sessions of a run that was resumed are joined: from its first step on, a later one replaces what an earlier one
    logged.

    Args:
        work_dir (str | Path): Folder that ``tools/train.py`` wrote.

    Attributes:
        cfg (Config): As the run dumped it.
        training (list[dict]): Logged scalars of training, by ``step``.
        validations (list[dict]): Logged metrics, by ``step``.

    Raises:
        ValueError: If the folder holds no training log, or one of training by epochs.
    """

    def __init__(self, work_dir: str | Path) -> None:
        self.work_dir = Path(work_dir)
        lines, log = [], None
        for path in sorted(self.work_dir.glob('*/vis_data/scalars.json')):
            session = _read_lines(path)
            if session:
                lines = [line for line in lines if line['step'] < session[0]['step']] + session
                log = path.parents[1]
        if log is None:
            raise ValueError(
                f'{self.work_dir} holds no training log (*/vis_data/scalars.json): give the work dirs of '
                'tools/train.py, of configs whose visualizer has the LocalVisBackend'
            )
        self.cfg = Config.fromfile(log / 'vis_data' / 'config.py', import_custom_modules=False)
        self.environment = dict(_read_environment(log / f'{log.name}.log'), cpu=self.cfg.get('cpu', ''))
        if 'max_iters' not in (self.cfg.get('train_cfg') or {}):
            raise ValueError(f'{self.work_dir}: its train_cfg has no max_iters; only training by iterations is known')
        self.training = [line for line in lines if 'loss' in line]
        # mmseg rounds to two decimals, but in float32
        self.validations = [
            {key: round(value, 2) if key.endswith('mIoU') else value for key, value in line.items()}
            for line in lines
            if 'mIoU' in line
        ]

    @property
    def config_file(self) -> Path | None:
        """The config that mmengine put beside the checkpoints."""
        return max(self.work_dir.glob('*.py'), key=lambda path: path.stat().st_mtime, default=None)

    @property
    def name(self) -> str:
        """Name of the config."""
        return self.config_file.stem if self.config_file else self.work_dir.name

    @property
    def seed(self) -> int | None:
        return self.cfg.get('randomness', {}).get('seed')

    @property
    def max_iters(self) -> int:
        return self.cfg.train_cfg.max_iters

    @property
    def checkpoint(self) -> Path | None:
        """The last checkpoint, wherever the work dir has been moved to."""
        pointer = self.work_dir / 'last_checkpoint'
        path = self.work_dir / Path(pointer.read_text().strip()).name if pointer.is_file() else None
        return path if path and path.is_file() else None

    @property
    def iterations(self) -> int:
        """How far it came."""
        saved = re.search(r'iter_(\d+)', self.checkpoint.name) if self.checkpoint else None
        steps = [line['step'] for line in (*self.training, *self.validations)]
        return max([*steps, int(saved[1]) if saved else 0])

    @property
    def finished(self) -> bool:
        return self.iterations >= self.max_iters

    @property
    def remark(self) -> str:
        """What keeps the run out of the means, if anything."""
        if not self.finished:
            return f'unfinished, {self.iterations} of {self.max_iters}'
        return '' if self.validations else 'no validation logged'

    def result(self) -> dict[str, Any]:
        """Sum up a finished run with student and teacher, as results files hold it."""
        last = self.validations[-1]
        return dict(
            miou_teacher=last['teacher/mIoU'],
            miou_student=last['student/mIoU'],
            iterations=self.iterations,
            seconds=self.seconds and round(self.seconds, 1),
            commit=self.cfg.get('commit'),
            environment=self.environment,
        )

    @property
    def supervised(self) -> bool:
        """Whether it trained on labelled images alone."""
        return 'segmentor' not in self.cfg.model or self.cfg.model.type == 'SemiSegmentor'

    @property
    def branch(self) -> str:
        """Who predicts: ``'teacher'`` or ``'student'``."""
        return self.cfg.model.get('predict_on', 'teacher') if 'segmentor' in self.cfg.model else 'student'

    def metric(self, branch: str) -> str:
        """Key of the mIoU of a branch in a line of ``validations``; a plain segmentor counts as a student."""
        return f'{branch}/mIoU' if 'segmentor' in self.cfg.model or branch != 'student' else 'mIoU'

    @cached_property
    def labels(self) -> tuple[str, ...] | str:
        """Names of the labelled images; or of their list, where that is not at hand."""
        return _names(self._part('labeled'))

    @cached_property
    def unlabeled(self) -> tuple[str, ...] | str:
        """Names of the unlabelled images; or of their list, where that is not at hand."""
        return _names(self._part('unlabeled'))

    def _part(self, part: str) -> dict:
        dataset = self.cfg.train_dataloader.dataset
        return dataset.get(part) or {} if 'labeled' in dataset else dataset if part == 'labeled' else {}

    @property
    def seconds(self) -> float | None:
        """Time of training, without validation."""
        per_iteration = [line['time'] for line in self.training if 'time' in line]
        return statistics.mean(per_iteration) * self.iterations if per_iteration else None

    @property
    def memory(self) -> int | None:
        """Peak memory of the GPU in MiB; None on a CPU."""
        return max((line['memory'] for line in self.training if 'memory' in line), default=None)


class Method:
    """Runs of one config with different seeds.

    Args:
        name (str): Label.
        runs (Sequence[Run]): At least one.

    Raises:
        ValueError: If two runs have one seed, which would understate the spread.
    """

    def __init__(self, name: str, runs: Sequence[Run]) -> None:
        self.name = name
        self.runs = sorted(runs, key=lambda run: (run.seed is None, run.seed))
        for one, other in zip(self.runs, self.runs[1:], strict=False):
            if one.seed is not None and one.seed == other.seed:
                raise ValueError(
                    f'{one.work_dir} and {other.work_dir} are {name} with seed {one.seed}, both: leave one of them out'
                )

    @property
    def counted(self) -> list[Run]:
        """The runs that enter the means."""
        return [run for run in self.runs if not run.remark]

    def spread(self, branch: str) -> Spread | None:
        """mIoU of a branch at the last validation."""
        lines = [(run, run.validations[-1]) for run in self.counted]
        return Spread.of([line[run.metric(branch)] for run, line in lines if run.metric(branch) in line])

    @property
    def score(self) -> Spread | None:
        """mIoU of the branch that predicts, at the last validation."""
        return Spread.of([run.validations[-1]['mIoU'] for run in self.counted])

    def gain(self, other: 'Method') -> Spread | None:
        """Score above that of another method, seed by seed, over the seeds that both have."""
        base = {run.seed: run.validations[-1]['mIoU'] for run in other.counted}
        return Spread.of([run.validations[-1]['mIoU'] - base[run.seed] for run in self.counted if run.seed in base])


def group_runs(runs: Sequence[Run], names: Sequence[str] | None = None) -> list[Method]:
    """Collect runs that train the same apart from the seed; supervised methods come first.

    Args:
        runs (Sequence[Run]): In any order.
        names (Sequence[str], optional): Label of each method, in the order in which the runs first name them. Default:
            the first part of a config's name; the whole name or the work dir where that is not unique.

    Raises:
        ValueError: If runs were validated on different images, a method has a seed twice, or there are more or fewer
            names than methods.
    """
    groups: list[list[Run]] = []
    for run in runs:
        if _validation_set(run) != _validation_set(runs[0]):
            raise ValueError(
                f'{runs[0].work_dir} and {run.work_dir} were validated on different images: '
                f'{_validation_set(runs[0])} and {_validation_set(run)}; make a report for each'
            )
        same = next((group for group in groups if _settings(group[0]) == _settings(run)), None)
        groups.append([run]) if same is None else same.append(run)
    names = names and list(dict.fromkeys(names))
    if names is not None and len(names) != len(groups):
        found = '; '.join(', '.join(str(run.work_dir) for run in group) for group in groups)
        raise ValueError(f'{len(names)} different names for {len(groups)} methods, which are: {found}')
    methods = [Method(name, group) for name, group in zip(names or _labels(groups), groups, strict=True)]
    return sorted(methods, key=lambda method: not method.runs[0].supervised)


def _labels(groups: Sequence[Sequence[Run]]) -> list[str]:
    candidates = [(group[0].name.split('_')[0], group[0].name, str(group[0].work_dir)) for group in groups]
    taken = Counter(label for labels in candidates for label in set(labels))
    return [next(label for label in labels if taken[label] == 1) for labels in candidates]


def _settings(run: Run) -> dict:
    """What makes a method: all that training depends on, but the seed and where the files are."""
    cfg = run.cfg.to_dict()
    settings = {key: cfg.get(key) for key in ('custom_hooks', 'load_from', 'model', 'optim_wrapper', 'param_scheduler')}
    loader = settings['train_dataloader'] = cfg['train_dataloader']
    loader.pop('num_workers', None)
    sampler, processes = loader['sampler'], run.environment['processes']
    loader['batch_size'] *= processes  # who shares a batch, in what parts, is all the same
    sampler.pop('batch_size', None)
    if ratio := sampler.get('source_ratio'):
        sampler['source_ratio'] = [share / sum(ratio) for share in ratio]
    for part in (loader['dataset'], loader['dataset'].get('labeled'), loader['dataset'].get('unlabeled')):
        for key in ('ann_file', 'data_root') if part else ():
            part.pop(key, None)
    teacher = cfg.get('default_hooks', {}).get('mean_teacher')
    return {**settings, 'teacher': teacher, 'length': run.max_iters, 'images': (run.labels, run.unlabeled)}


def _validation_set(run: Run) -> dict:
    dataset = run.cfg.val_dataloader.dataset
    return {key: dataset.get(key) for key in ('type', 'data_prefix', 'ann_file')}


def _names(dataset: dict) -> tuple[str, ...] | str:
    """The content of a dataset's list; its path where it is not at hand, or the folder where there is none."""
    list_file = dataset.get('ann_file') or dataset.get('data_prefix', {}).get('img_path', '')
    try:
        return tuple(read_list(Path(dataset.get('data_root') or '') / list_file))
    except FileNotFoundError:
        return list_file


def _read_lines(path: Path) -> list[dict]:
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:  # the line that a killed process was writing
            break
    return lines


def _read_environment(log: Path) -> dict[str, str | int]:
    """Version, devices and number of processes from the head of mmengine's log."""
    text = log.read_text() if log.is_file() else ''
    found = dict(re.findall(r'^ {4}(PyTorch|GPU (?:number|[\d,]+)): (\S.*)$', text, re.MULTILINE))
    if not found:
        return dict(device='', torch='', processes=1)
    torch, processes = found.pop('PyTorch', ''), int(found.pop('GPU number', 1))  # on CPUs too
    return dict(device=', '.join(found.values()) or 'CPU', torch=torch, processes=processes)
