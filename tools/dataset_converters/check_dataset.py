"""Read all that a config would read, say what is wrong with it, and draw what the network would be fed.

    python tools/dataset_converters/check_dataset.py CONFIG

reports files that are missing, unreadable, mismatched (image and annotation), out of range (ids), duplicated (the same
content twice in a part) or leaking (the same content in training and validation, or labelled and unlabelled), then how
frequent each class is; ``work_dirs/CONFIG_NAME/check_dataset.png`` shows samples of each branch of the pipeline. It
ends with status 1 where something is wrong.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmseg_semi.datasets import SampleIndex, SemiDataset
from mmseg_semi.datasets.checks import Inspection, absent_classes, data_infos, inspect, reads_annotations
from mmseg_semi.datasets.conversion import add_workers, errors_in_one_sentence, image_file, save_image, track
from mmseg_semi.datasets.semi_dataset import load_plain_dataset
from mmseg_semi.utils.config import load_config
from mmseg_semi.utils.seed import derive_seed
from mmseg_semi.visualization import draw_samples, panel

KINDS = ('missing', 'unreadable', 'mismatched', 'out of range', 'duplicated', 'leaking', 'absent')
# Pairs of parts that may hold the same images.
HARMLESS = ({'val', 'test'}, {'coarse', 'unlabeled'}, {'pseudo_labeled', 'unlabeled'})
# Before the titles of views that are named as those of the labelled part.
PREFIXES = {'pseudo_labeled': 'pseudo-', 'coarse': 'coarse-'}


def build(key: str, cfg: ConfigDict) -> BaseDataset | SemiDataset:
    while cfg.type == 'RepeatDataset':
        cfg = cfg.dataset
    if 'dataset' in cfg or 'datasets' in cfg:
        raise ValueError(f'{key}: a {cfg.type} is not looked into: give a config with one of its datasets at a time')
    try:
        if cfg.type == 'SemiDataset':
            return DATASETS.build(cfg)
        return load_plain_dataset(cfg, 'the dataset')
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f'{key}: {error}') from error


def load_parts(cfg: Config) -> tuple[SemiDataset, dict[str, BaseDataset]]:
    """Build the datasets of a config; give that for training and, by name, all parts there are."""
    train = build('train_dataloader', cfg.train_dataloader.dataset)
    train = train if isinstance(train, SemiDataset) else SemiDataset(labeled=train)
    parts = dict(train.parts)
    for part in ('val', 'test'):
        loader = cfg.get(f'{part}_dataloader')
        # The test set is often the validation set under another name.
        if loader and not (part == 'test' and loader == cfg.get('val_dataloader')):
            parts[part] = build(f'{part}_dataloader', loader.dataset)
    return train, parts


def find_problems(
    inspections: dict[str, list[Inspection]], harmless: Collection[set[str]], classes: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Say what is wrong: part, kind and message of each problem."""
    problems = [(part, *found.error) for part, some in inspections.items() for found in some if found.error]
    images = {}
    for part, some in inspections.items():
        same = defaultdict(list)
        for found in some:
            if found.digest is not None:
                same[found.digest].append(found.path)
        problems += [(part, 'duplicated', ' = '.join(paths)) for paths in same.values() if len(paths) > 1]
        images[part] = same
    for first, second in combinations(images, 2):
        if {first, second} not in harmless:
            both = [digest for digest in images[first] if digest in images[second]]
            paths = [(images[first][digest][0], images[second][digest][0]) for digest in both]
            problems += [(f'{first}/{second}', 'leaking', f'{a} = {b}' if a != b else a) for a, b in paths]
    counts = [found.pixels for part in ('labeled', 'coarse') for found in inspections.get(part, ())]
    counts = [pixels for pixels in counts if pixels is not None]
    try:
        absent = [f'no annotation shows {name}' for name in absent_classes(sum(counts), classes)] if counts else []
    except ValueError as error:
        absent = [str(error)]
    return problems + [('labeled', 'absent', message) for message in absent]


def frequency_table(inspections: dict[str, list[Inspection]], classes: Sequence[str]) -> str:
    """Tabulate each class's share of pixels and of images, part by part."""
    counts = {part: [f.pixels for f in some if f.pixels is not None] for part, some in inspections.items()}
    counts = {part: np.stack(pixels) for part, pixels in counts.items() if pixels}
    width = max(map(len, classes))
    lines = [' ' * width + ''.join(f'{part:>10} pixels  images' for part in counts)]
    for i, name in enumerate(classes):
        lines.append(f'{name:{width}}')
        for pixels in counts.values():
            share, images = pixels[:, i].sum() / max(pixels.sum(), 1), (pixels[:, i] > 0).sum()
            lines[-1] += f'{share:17.2%}{images:8}'
    return '\n'.join(lines)


def draw_page(dataset: SemiDataset, num_rows: int, seed: int) -> np.ndarray:
    """Draw a row of samples, one of each part, for each of some images spread over the lists; (H, W, 3), RGB."""
    palette, rows = dataset.metainfo['palette'], [{} for _ in range(num_rows)]
    for source, (name, part) in enumerate(dataset.parts.items()):
        chosen = dataset.offset(name) + np.linspace(0, len(part) - 1, num_rows).astype(int)
        samples = [dataset[SampleIndex(int(i), derive_seed(seed, source, row))] for row, i in enumerate(chosen)]
        for row, pictures in zip(rows, draw_samples(samples, palette), strict=True):
            row.update({PREFIXES.get(name, '') + title: picture for title, picture in pictures.items()})
    return panel([list(row.values()) for row in rows], list(rows[0]), max_width=400)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path, help='config file')
    parser.add_argument('--out', type=image_file, help='default: work_dirs/CONFIG_NAME/check_dataset.png')
    parser.add_argument('--rows', type=int, default=4, help='samples of each part to draw (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the drawn samples (default: %(default)s)')
    parser.add_argument('--show', type=int, default=10, help='problems of each kind to name (default: %(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings')
    add_workers(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> int:
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    train, parts = load_parts(cfg)
    classes = train.metainfo['classes']

    inspections, start = {}, time.time()
    for name, part in parts.items():
        print(f'{name}: {len(part)} images')
        num_classes = None if name == 'unlabeled' and not reads_annotations(part) else len(classes)
        inspections[name] = track(partial(inspect, num_classes=num_classes), data_infos(part), args.workers)
    seconds, total = time.time() - start, sum(map(len, inspections.values()))
    print(f'{total} images in {seconds:.1f} s: {60 * total / seconds / max(args.workers, 1):.0f} a minute and process')

    harmless = [*HARMLESS]
    harmless += [{'labeled', 'unlabeled'}] if train.labeled_as_unlabeled else []
    harmless += [{'labeled', 'test'}] if cfg.get('trains_on_test') else []
    problems = find_problems(inspections, harmless, classes)
    for kind in KINDS:
        found = [(part, message) for part, of_kind, message in problems if of_kind == kind]
        print(f'{kind}: {len(found) or "none"}')
        for part, message in found[: args.show]:
            print(f'  {part}: {message}')
        if len(found) > args.show:
            print(f'  and {len(found) - args.show} more; --show {len(found)} names all')
    print(frequency_table(inspections, classes))

    if any(kind in KINDS[:4] for _, kind, _ in problems):
        print('No picture is drawn before all files can be read')
        return 1
    out = args.out or Path('work_dirs') / args.config.stem / 'check_dataset.png'
    save_image(draw_page(train, args.rows, args.seed), out)
    print(f'Samples of each branch: {out}')
    return 1 if problems else 0


if __name__ == '__main__':
    with errors_in_one_sentence():
        raise SystemExit(main(parse_args()))
