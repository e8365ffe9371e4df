"""One HTML page that compares methods: no script, and nothing to load from elsewhere."""

import base64
import io
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.ticker import MaxNLocator
from PIL import Image

from .comparison import Case, Comparison, Evaluation
from .panel import colorize
from .runs import Method, Run, Spread

WIDTH, HEIGHT = 300, 180
LEFT, RIGHT, TOP, BOTTOM = 42, 14, 8, 22  # margins of a chart
MAX_POINTS = 150  # of a curve; more are averaged
NO_CURVE = ('base_lr', 'data_time', 'epoch', 'grad_norm', 'iter', 'lr', 'memory', 'step', 'time')
PICTURE_WIDTH = 320


class Curve(NamedTuple):
    """A method in a chart, in the chart's coordinates."""

    slot: int  # colour
    name: str
    line: str  # points of the mean
    band: str  # outline from the lowest to the highest seed; empty for one
    dots: list[tuple[float, float, str]]  # x, y, text; for few points


class Chart(NamedTuple):
    title: str
    curves: list[Curve]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


class Row(NamedTuple):
    """A method in the table."""

    method: Method
    slot: int
    student: Spread | None
    teacher: Spread | None
    gain: Spread | None
    boundary_iou: Spread | None
    ece: Spread | None
    labels: str
    best: bool


def build_report(
    methods: Sequence[Method],
    evaluations: Mapping[Path, Evaluation] | None = None,
    comparison: Comparison | None = None,
    command: str = '',
) -> str:
    """Lay out everything that is known of some methods.

    Args:
        methods (Sequence[Method]): In the order of the table.
        evaluations (Mapping[Path, Evaluation], optional): By work dir, for boundary IoU, ECE and classes.
        comparison (Comparison, optional): Images to show.
        command (str): The one that makes this page.

    Returns:
        str: The page.
    """
    evaluations = evaluations or {}
    runs = [run for method in methods for run in method.runs]
    first_color = 0 if methods[0].runs[0].supervised else 1  # 0 is the grey of what the others are measured against
    slots = {method.name: index + first_color for index, method in enumerate(methods)}
    rows = _rows(methods, slots, evaluations)
    keys = sorted({key for run in runs for line in run.training for key in line} - {*NO_CURVE}, key=_rank)
    keys = [key for key in keys if not key.endswith('acc_seg')]
    charts = {key: _chart(key, methods, slots, lambda run: run.training, lambda run, key=key: key) for key in keys}
    environment = Environment(
        loader=PackageLoader('mmseg_semi.visualization', '.'), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(spread=_format_spread, duration=_duration)
    return environment.get_template('report.html.j2').render(
        title=_title(methods),
        facts=_facts(runs, evaluations),
        headline=_headline(rows),
        rows=rows,
        baseline=any(row.gain for row in rows),
        evaluated=bool(evaluations),
        accuracy=_validation_charts(methods, slots),
        losses=[charts[key] for key in keys if charts[key] and 'loss' in key],
        others=[charts[key] for key in keys if charts[key] and 'loss' not in key],
        classes=_classes(methods, slots, evaluations),
        comparison=comparison,
        cases=[_pictures(case, list(comparison.palette.values())) for case in comparison.cases] if comparison else [],
        runs=[(method, slots[method.name], run) for method in methods for run in method.runs],
        command=command,
        width=WIDTH, height=HEIGHT, left=LEFT, right=RIGHT, top=TOP, bottom=BOTTOM,
    )  # fmt: skip


def find_baseline(method: Method, methods: Sequence[Method]) -> Method | None:
    """Give the supervised method that a method is measured against: the one with the same labels, if it is alone."""
    found = [other for other in methods if other.runs[0].supervised and other.runs[0].labels == method.runs[0].labels]
    return found[0] if len(found) == 1 and found[0] is not method else None


def _rows(methods: Sequence[Method], slots: Mapping[str, int], evaluations: Mapping[Path, Evaluation]) -> list[Row]:
    best = max((method.score.mean for method in methods if method.score), default=None)
    rows = []
    for method in methods:
        baseline, labels = find_baseline(method, methods), method.runs[0].labels
        found = _evaluated(method, evaluations)
        rows.append(
            Row(
                method, slots[method.name], method.spread('student'), method.spread('teacher'),
                method.gain(baseline) if baseline else None,
                Spread.of([one.boundary_iou for one in found]), Spread.of([one.ece for one in found]),
                '/'.join(Path(labels).parts[-2:]) if isinstance(labels, str) else f'{len(labels)} labels',
                len(methods) > 1 and method.score is not None and method.score.mean == best,
            )
        )  # fmt: skip
    return rows


def _evaluated(method: Method, evaluations: Mapping[Path, Evaluation]) -> list[Evaluation]:
    return [evaluations[run.work_dir] for run in method.counted if run.work_dir in evaluations]


def _title(methods: Sequence[Method]) -> str:
    dataset = methods[0].runs[0].cfg.val_dataloader.dataset.get('type', '').removesuffix('Dataset')
    return f'{_count(len(methods), "method")} on {dataset}'


def _facts(runs: Sequence[Run], evaluations: Mapping[Path, Evaluation]) -> list[str]:
    facts = [_count(len(runs), 'run')]
    for part in ('labels', 'unlabeled'):
        numbers = {len(names) for run in runs if not isinstance(names := getattr(run, part), str)}
        if numbers:
            kind = 'labelled' if part == 'labels' else 'unlabelled'
            facts.append(f'{_between(numbers)} {kind} images')
    facts.append(f'{_between({run.max_iters for run in runs})} iterations')
    images = {len(evaluation.images) for evaluation in evaluations.values()}
    return [*facts, f'{_between(images)} validation images'] if images else facts


def _headline(rows: Sequence[Row]) -> str:
    best = next((row for row in rows if row.best), None)
    if best is None:
        return ''
    score, gain = best.method.score, best.gain
    text = f'{best.method.name} has the highest mIoU, {_format_spread(score)}'
    if gain:
        text += f', {_format_spread(gain, "+")} over supervised training on the same labels'
        text += f' ({_count(len(gain.values), "seed")})' if len(gain.values) < len(score.values) else ''
    text += '.'
    if score.std is None:
        return f'{text} One seed shows no spread.'
    close = [
        row.method.name
        for row in rows
        if row is not best and (other := row.method.score) and score.mean - other.mean <= max(score.std, other.std or 0)
    ]
    return f'{text} Less than a standard deviation behind: {", ".join(close)}.' if close else text


def _validation_charts(methods: Sequence[Method], slots: Mapping[str, int]) -> list[Chart]:
    """Curves of student and teacher, on one scale; none where every run was validated once."""
    runs = [run for method in methods for run in method.runs]
    if all(len(run.validations) < 2 for run in runs):
        return []
    keys = {run.metric(branch) for run in runs for branch in ('student', 'teacher')}
    values = [line[key] for run in runs for line in run.validations for key in keys if key in line]
    charts = (
        _chart(
            f'mIoU of the {branch}', methods, slots, lambda run: run.validations,
            lambda run, branch=branch: run.metric(branch), (min(values), max(values)),
        )
        for branch in ('student', 'teacher')
    )  # fmt: skip
    return [chart for chart in charts if chart]


def _rank(key: str) -> tuple:
    """The total loss, what the labelled images give, then the others."""
    return key != 'loss', not key.startswith('decode.'), key


def _chart(
    title: str,
    methods: Sequence[Method],
    slots: Mapping[str, int],
    lines: Callable[[Run], list[dict]],
    key: Callable[[Run], str],
    limits: tuple[float, float] | None = None,
) -> Chart | None:
    """Draw a scalar of all methods that log it, from 0 or between limits; None where it is nowhere, or always 0."""
    summaries = {}
    for method in methods:
        series = [
            [(line['step'], line[key(run)]) for line in lines(run) if key(run) in line]
            for run in method.counted or method.runs
        ]
        summary = _summarize([points for points in series if points])
        if summary:
            summaries[method.name] = summary
    values = [value for summary in summaries.values() for point in summary for value in point[1:]]
    if not any(values):
        return None
    y_ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(*(limits or (min(*values, 0), max(values))))
    last = max(point[0] for summary in summaries.values() for point in summary)
    x_ticks = [tick for tick in MaxNLocator(4, integer=True).tick_values(0, last) if tick <= last]

    def x(step: float) -> float:
        return round(LEFT + step / last * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        share = (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    curves = []
    for name, summary in summaries.items():
        spread = any(low < high for _, _, low, high in summary)
        outline = [(x(s), y(high)) for s, _, _, high in summary] + [(x(s), y(low)) for s, _, low, _ in summary[::-1]]
        dots = [(x(s), y(mean), f'{name}, iteration {s:.0f}: {mean:.3g}') for s, mean, _, _ in summary]
        curves.append(
            Curve(
                slots[name], name, _points((x(s), y(mean)) for s, mean, _, _ in summary),
                _points(outline) if spread else '', dots if len(dots) <= 25 else [],
            )
        )  # fmt: skip
    return Chart(
        title, curves, [(x(tick), _thousands(tick)) for tick in x_ticks], [(y(tick), f'{tick:g}') for tick in y_ticks]
    )


def _summarize(series: Sequence[Sequence[tuple[int, float]]]) -> list[tuple[float, float, float, float]]:
    """Give step, mean, lowest and highest of several seeds, where all have a value.

    Long series are averaged over neighbouring steps first.
    """
    steps = {step for points in series for step, _ in points}
    width = math.ceil(max(steps, default=0) / MAX_POINTS) if len(steps) > MAX_POINTS else 1
    seeds: dict[int, list[float]] = defaultdict(list)
    for points in series:
        bins = defaultdict(list)
        for step, value in points:
            if math.isfinite(value):
                bins[math.ceil(step / width) * width].append(value)
        for step, values in bins.items():
            seeds[step].append(statistics.mean(values))
    full = sorted(step for step, values in seeds.items() if len(values) == len(series))
    return [(step, statistics.mean(seeds[step]), min(seeds[step]), max(seeds[step])) for step in full]


def _classes(methods: Sequence[Method], slots: Mapping[str, int], evaluations: Mapping[Path, Evaluation]) -> list:
    """For each class: its name and, for each method that was evaluated, colour, name and spread of the IoU."""
    found = {method: [one.iou for one in _evaluated(method, evaluations)] for method in methods}
    found = {method: seeds for method, seeds in found.items() if seeds}
    names = next(iter(evaluations.values())).iou if evaluations else ()
    return [
        (
            name,
            [
                (slots[method.name], method.name, Spread.of([iou[name] for iou in seeds if iou[name] is not None]))
                for method, seeds in found.items()
            ],
        )
        for name in names
    ]


def _pictures(case: Case, palette: Sequence[Sequence[int]]) -> dict:
    """Titles, captions and pictures of a case, as data URIs."""
    columns = [
        ('image', '', _data_uri(case.image, 'JPEG')),
        ('truth', '', _data_uri(colorize(case.truth, palette), 'PNG')),
    ]
    for name, label in case.labels.items():
        columns.append((name, f'{100 * case.accuracy[name]:.0f} % right', _data_uri(colorize(label, palette), 'PNG')))
    columns.append(('disagreement', '', _data_uri(case.disagreement, 'JPEG')))
    return dict(name=case.name, differing=case.differing, columns=columns)


def _data_uri(picture: np.ndarray, kind: str) -> str:
    """Encode an RGB picture; labels, as PNG, keep their colours when they shrink."""
    image = Image.fromarray(picture)
    if image.width > PICTURE_WIDTH:
        size = PICTURE_WIDTH, round(image.height * PICTURE_WIDTH / image.width)
        image = image.resize(size, Image.Resampling.LANCZOS if kind == 'JPEG' else Image.Resampling.NEAREST)
    if kind == 'PNG':
        image = image.quantize()
    stream = io.BytesIO()
    image.save(stream, kind, quality=88, optimize=True)
    return f'data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}'


def _format_spread(spread: Spread | None, sign: str = '') -> str:
    if spread is None:
        return '\N{EN DASH}'
    text = f'{spread.mean:{sign}.1f}'.replace('-', '\N{MINUS SIGN}')
    return text if spread.std is None else f'{text} ± {spread.std:.1f}'


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return '\N{EN DASH}'
    minutes = round(seconds / 60)
    return f'{minutes // 60} h {minutes % 60:02} min' if minutes >= 60 else f'{seconds / 60:.1f} min'


def _thousands(step: float) -> str:
    return f'{step / 1000:g}k' if step >= 10_000 else f'{step:g}'


def _between(numbers: Iterable[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f'{low}' if low == high else f'{low} to {high}'


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}' if number == 1 else f'{number} {noun}s'


def _points(points: Iterable[tuple[float, float]]) -> str:
    return ' '.join(f'{x:g},{y:g}' for x, y in points)
