"""Split a list of images into a labelled and an unlabelled part.

    python tools/dataset_converters/make_splits.py data/camvid/images/train data/camvid/splits/1_8 --fraction 1/8

writes ``labeled.txt`` and ``unlabeled.txt``, lists for a dataset's ``ann_file``: names without suffix, relative to the
folder. The same arguments give the same lists everywhere.
"""

import argparse
from fractions import Fraction
from pathlib import Path

import numpy as np

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


def list_names(source: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    """List the images of a folder, or the lines of a list, without suffix and in order.

    Raises:
        SystemExit: If there is none.
    """
    if source.is_dir():
        names = [p.relative_to(source).as_posix() for p in source.rglob('*') if p.name.lower().endswith(suffixes)]
    elif source.is_file():
        names = [line.strip() for line in source.read_text().splitlines()]
    else:
        raise SystemExit(f'{source} is neither a folder of images nor a list of them')
    known = {name: next((s for s in suffixes if name.lower().endswith(s)), '') for name in names if name}
    names = sorted({name[: len(name) - len(suffix)] for name, suffix in known.items()})
    if len(names) < 2:
        raise SystemExit(f'{source} names {len(names)} images; a split needs two or more')
    return names


def split(names: list[str], num_labeled: int, seed: int) -> tuple[list[str], list[str]]:
    """Draw ``num_labeled`` names; give them and the rest, both in order."""
    chosen = set(np.random.default_rng(seed).permutation(len(names))[:num_labeled].tolist())
    return [n for i, n in enumerate(names) if i in chosen], [n for i, n in enumerate(names) if i not in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='folder of training images, or a list of them')
    parser.add_argument('out', type=Path, help='folder for labeled.txt and unlabeled.txt')
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument('--fraction', type=Fraction, help='labelled share, such as 1/8, rounded to whole images')
    amount.add_argument('--count', type=int, help='labelled images')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--suffix', help="what to cut from the names, such as Cityscapes' _leftImg8bit.png")
    args = parser.parse_args()

    names = list_names(args.source, (args.suffix.lower(),) if args.suffix else SUFFIXES)
    num_labeled = args.count if args.count is not None else round(len(names) * args.fraction)
    if not 0 < num_labeled < len(names):
        raise SystemExit(f'{num_labeled} of {len(names)} images labelled leaves one part empty')
    args.out.mkdir(parents=True, exist_ok=True)
    for name, part in zip(('labeled', 'unlabeled'), split(names, num_labeled, args.seed), strict=True):
        (args.out / f'{name}.txt').write_text('\n'.join(part) + '\n')
        print(f'{args.out / name}.txt: {len(part)} images')


if __name__ == '__main__':
    main()
