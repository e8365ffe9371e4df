"""Write docs/model_zoo.md, configs/*/metafile.yml and model-index.yml from the results of real runs.

    python .dev_scripts/make_model_zoo.py

Run it whenever the results change. Metafiles are those of mim: a model is a config with the results of its seeds.
"""

import argparse
import itertools
import json
import statistics
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]


class Method(NamedTuple):
    """What a folder of configs is about."""

    name: str
    title: str = ''
    url: str = ''


class Source(NamedTuple):
    """Results on one dataset."""

    results: str
    dataset: str
    about: str


METHODS = dict(
    supervised=Method('Supervised only'),
    structured_consistency=Method(
        'Structured consistency',
        'Structured Consistency Loss for semi-supervised semantic segmentation',
        'https://arxiv.org/abs/2001.04647',
    ),
    cutmix=Method(
        'CutMix mean teacher',
        'Semi-supervised semantic segmentation needs strong, varied perturbations',
        'https://arxiv.org/abs/1906.01916',
    ),
    context_aware_consistency=Method(
        'Context-aware consistency',
        'Semi-supervised Semantic Segmentation with Directional Context-aware Consistency',
        'https://arxiv.org/abs/2106.14133',
    ),
    fixmatch=Method(
        'FixMatch',
        'FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence',
        'https://arxiv.org/abs/2001.07685',
    ),
    unimatch=Method(
        'UniMatch',
        'Revisiting Weak-to-Strong Consistency in Semi-Supervised Semantic Segmentation',
        'https://arxiv.org/abs/2208.09910',
    ),
    ipixmatch=Method(
        'IPixMatch',
        'IPixMatch: Boost Semi-supervised Semantic Segmentation with Inter-Pixel Relation',
        'https://arxiv.org/abs/2404.18891',
    ),
)
SOURCES = (
    Source(
        'projects/camvid_benchmark/results/small.jsonl',
        'CamVid',
        '101 validation images at 240 x 180, DeepLabv3+ on EfficientNet-Lite0, '
        '[how to repeat it](../projects/camvid_benchmark).',
    ),
    Source(
        'projects/camvid_benchmark/results/full.jsonl',
        'CamVid at 480 x 360',
        '101 validation images, DeepLabv3+ on EfficientNet-Lite0, [how to repeat it](../projects/camvid_benchmark).',
    ),
    Source(
        'projects/scenes_benchmark/results.jsonl',
        'Textured scenes',
        'The embedded data, 100 validation images of 96 x 96, DeepLabv3+ on a slim ResNet-18, '
        '[how to repeat it](../projects/scenes_benchmark).',
    ),
)
COLUMNS = ('method', 'paper', 'labels', 'mIoU', 'seeds', '')
INTRODUCTION = """# Model zoo

What was trained with this repository: the teacher's mIoU at the last iteration, mean +- standard deviation over seeds.
There are no weights to download, since each run takes minutes. A config and a seed repeat it, bit by bit on the same
kind of CPU; another one, or more than one thread (`OMP_NUM_THREADS=1`), rounds otherwise, which makes it another run
of the same method:

```bash
python tools/train.py CONFIG --work-dir work_dirs/NAME --cfg-options randomness.seed=SEED
```

Configs that are not listed, those for VOC, Cityscapes and Mapillary Vistas among them, were not trained here.

This page, `model-index.yml` and `configs/*/metafile.yml` are made from the results files by
`.dev_scripts/make_model_zoo.py`.
"""


class Entry(NamedTuple):
    """A config, or one with other labels than its own, and its runs with several seeds."""

    source: Source
    config: str
    labels: str
    runs: list[dict[str, Any]]

    @property
    def folder(self) -> str:
        return Path(self.config).parent.name

    @property
    def share(self) -> Fraction:
        """How much is labelled, to sort by."""
        return Fraction(1 if self.labels == 'full' else self.labels.replace('_', '/'))

    @property
    def is_model(self) -> bool:
        """Whether it is the config as it stands, which is what metafiles tell of."""
        return f'-{self.labels}-' in self.config

    @property
    def miou(self) -> tuple[float, float | None]:
        """Mean and standard deviation over seeds."""
        values = [run['miou_teacher'] for run in self.runs]
        return round(statistics.mean(values), 2), round(statistics.stdev(values), 2) if len(values) > 1 else None

    @property
    def seeds(self) -> str:
        return ', '.join(str(run['seed']) for run in self.runs)


def read_entries() -> list[Entry]:
    """Group the results by dataset, labels and config; what was trained with other options is left out."""
    groups: dict[tuple[Source, str, str], list[dict[str, Any]]] = {}
    for source in SOURCES:
        path = ROOT / source.results
        for run in map(json.loads, path.read_text().splitlines() if path.is_file() else ()):
            split = Path(run['config']).stem.split('-')[-2]
            labels = run.get('fraction', split)
            own = run['config'].replace(f'-{split}-', f'-{labels}-')
            config = own if (ROOT / own).is_file() else run['config']
            if not run.get('options'):
                groups.setdefault((source, config, labels), []).append(run)
    entries = [Entry(*key, sorted(runs, key=lambda run: run['seed'])) for key, runs in groups.items()]
    return sorted(entries, key=lambda e: (SOURCES.index(e.source), e.share, [*METHODS].index(e.folder), e.config))


def metafile(folder: str, entries: Iterable[Entry]) -> str:
    """Describe the models of a folder of configs as mim expects it."""
    name, title, url = METHODS[folder]
    entries = [entry for entry in entries if entry.folder == folder and entry.is_model]
    data = list(dict.fromkeys(entry.source.dataset for entry in entries))
    collection: dict[str, Any] = {
        'Name': name, 'License': 'Apache License 2.0', 'Metadata': {'Training Data': data},
        'README': 'docs/model_zoo.md', 'Frameworks': ['PyTorch'],
    }  # fmt: skip
    if url:
        collection['Paper'] = {'Title': title, 'URL': url}
    return yaml.safe_dump(
        {'Collections': [collection], 'Models': [model(entry) for entry in entries]}, sort_keys=False, width=120
    )


def model(entry: Entry) -> dict[str, Any]:
    """Describe one model."""
    cfg = Config.fromfile(ROOT / entry.config, import_custom_modules=False)
    mean, deviation = entry.miou
    metrics = {'mIoU': mean} if deviation is None else {'mIoU': mean, 'mIoU (standard deviation)': deviation}
    devices = {run['environment']['device'] for run in entry.runs} - {''}
    return {
        'Name': Path(entry.config).stem,
        'In Collection': METHODS[entry.folder].name,
        'Results': {'Task': 'Semantic Segmentation', 'Dataset': entry.source.dataset, 'Metrics': metrics},
        'Config': entry.config,
        'Metadata': {
            'Training Data': entry.source.dataset,
            'Batch Size': cfg.train_dataloader.batch_size,
            'Iterations': cfg.train_cfg.max_iters,
            'Seeds': entry.seeds,
            **({'Training Resources': ', '.join(sorted(devices))} if devices else {}),
        },
    }


def page(entries: Iterable[Entry]) -> str:
    """Write the page: a table for each dataset."""
    blocks = [INTRODUCTION]
    for source, rows in itertools.groupby(entries, key=lambda entry: entry.source):
        lines = [f'| {" | ".join(COLUMNS)} |', '|---' * len(COLUMNS) + '|', *map(row, rows)]
        blocks.append(f'## {source.dataset}\n\n{source.about}\n\n' + '\n'.join(lines) + '\n')
    return '\n'.join(blocks)


def row(entry: Entry) -> str:
    """Write the row of an entry."""
    name, _, url = METHODS[entry.folder]
    variant = Path(entry.config).stem.partition('_')[0].removeprefix(entry.folder.replace('_', '-')).strip('-')
    mean, deviation = entry.miou
    cells = [
        f'{name} ({variant})' if variant else name,
        f'[{url.rpartition("/")[2]}]({url})' if url else '',
        'all' if entry.labels == 'full' else entry.labels.replace('_', '/'),
        f'{mean:.2f}' if deviation is None else f'{mean:.2f} +- {deviation:.2f}',
        entry.seeds,
        f'[config](../{entry.config})' + ('' if entry.is_model else f', `--fractions {entry.labels}` of the benchmark'),
    ]
    return f'| {" | ".join(cells)} |'


def make() -> dict[str, str]:
    """Give the content of every file, by path."""
    entries = read_entries()
    folders = sorted({entry.folder for entry in entries if entry.is_model})
    files = {f'configs/{folder}/metafile.yml': metafile(folder, entries) for folder in folders}
    index = yaml.safe_dump({'Import': list(files)})
    return {**files, 'model-index.yml': index, 'docs/model_zoo.md': page(entries)}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for path in ROOT.glob('configs/*/metafile.yml'):
        path.unlink()
    for path, text in make().items():
        (ROOT / path).write_text(text)
        print(path)


if __name__ == '__main__':
    main()
