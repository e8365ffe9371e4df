"""Split a list of images into a labelled and an unlabelled part.

    python tools/dataset_converters/make_splits.py data/camvid/images/train data/camvid/splits/1_8 --fraction 1/8 \
        --annotations data/camvid/annotations/train --num-classes 11

writes ``labeled.txt`` and ``unlabeled.txt``, lists for the ``ann_file`` of SemiDataset's two parts: names without
suffix, relative to the folder, under a line of comment that says how they were made. The same images and seed give the
same lists everywhere, and the labelled list of a smaller fraction is part of that of a larger one.

With ``--annotations`` the labelled part shows every class, or the tool says which it cannot show; ``--balance`` draws
images of rare classes as often as of common ones, as far as there are any. Without, classes are not looked at.

``--exclude`` leaves the images of other lists out of both parts. So the labelled part can be held out, to choose
settings on, from all that trains.
"""

import argparse
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from mmseg_semi.datasets.conversion import add_workers, errors_in_one_sentence, read_ids, track
from mmseg_semi.datasets.splits import (
    IMAGE_SUFFIXES,
    SEPARATOR,
    cut_suffix,
    find_images,
    fingerprint,
    rank,
    read_list,
    write_list,
)


def list_names(source: Path, suffixes: tuple[str, ...]) -> list[str]:
    """List the images of a folder, or the lines of a list, without suffix and in order."""
    if source.is_dir():
        return list(find_images(source, suffixes))
    if source.is_file():
        lines = read_list(source)
        for line in lines:
            first, *more = SEPARATOR.split(line)
            if more and cut_suffix(first, [*suffixes, *IMAGE_SUFFIXES]) != first:
                raise ValueError(f'the line {line!r} of {source} is more than a name: import it with import_splits.py')
        return sorted({cut_suffix(line, suffixes) for line in lines})
    raise FileNotFoundError(f'{source} is neither a folder of images nor a list of them')


def shown_classes(path: Path, num_classes: int) -> frozenset[int]:
    """Read which classes an annotation shows; ids from ``num_classes`` on are ignored."""
    if not path.exists():
        raise FileNotFoundError(f'annotation not found: {path}; see --annotations and --seg-map-suffix')
    return frozenset(i for i in np.unique(read_ids(path, range(256))).tolist() if i < num_classes)


def fraction(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f'{text!r} is no fraction such as 1/8') from None


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='folder of training images, or a list of them')
    parser.add_argument('out', type=Path, help='folder for labeled.txt and unlabeled.txt')
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument('--fraction', type=fraction, help='labelled share, such as 1/8, rounded to whole images')
    amount.add_argument('--count', type=int, help='labelled images')
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument('--suffix', help="what to cut from the names, such as Cityscapes' _leftImg8bit.png")
    parser.add_argument('--exclude', type=Path, nargs='+', default=[], help='lists of images for neither part')
    parser.add_argument('--annotations', type=Path, help='their folder: let the labelled part show every class')
    parser.add_argument('--seg-map-suffix', default='.png', help='of the annotations (default: %(default)s)')
    parser.add_argument('--num-classes', type=int, help='ids from 0 to this, left out, are classes; with --annotations')
    parser.add_argument('--balance', action='store_true', help='balance the labelled part by class')
    add_workers(parser)
    args = parser.parse_args()
    if (args.annotations is None) != (args.num_classes is None):
        parser.error('--annotations and --num-classes go together')
    if args.balance and args.annotations is None:
        parser.error('--balance needs --annotations and --num-classes')
    return args


def main(args: argparse.Namespace) -> None:
    suffixes = (args.suffix,) if args.suffix else IMAGE_SUFFIXES
    names = list_names(args.source, suffixes)
    if args.exclude:
        excluded = {name: path for path in args.exclude for name in list_names(path, suffixes)}
        if unknown := sorted(excluded.keys() - names):
            raise ValueError(f'{excluded[unknown[0]]} excludes {unknown[0]!r}, which is not in {args.source}')
        names = [name for name in names if name not in excluded]
    num_labeled = args.count if args.count is not None else round(len(names) * args.fraction)
    if not 0 < num_labeled < len(names):
        raise ValueError(f'{num_labeled} of {len(names)} images labelled leaves one part empty')
    classes = None
    if args.annotations is not None:
        paths = [args.annotations / f'{name}{args.seg_map_suffix}' for name in names]
        read = partial(shown_classes, num_classes=args.num_classes)
        classes = dict(zip(names, track(read, paths, args.workers), strict=True))
    labeled = set(rank(names, args.seed, classes, args.balance)[:num_labeled])
    drawn = 'at random'
    if classes:
        every = set(range(args.num_classes))
        lacking = every.difference(*(classes[name] for name in labeled))
        nowhere = every.difference(*classes.values())
        drawn = f'covering {args.num_classes} classes first' + ', then balancing them' * args.balance
        drawn += f' (lacks {sorted(lacking)})' if lacking else ''
    header = (
        f'of {len(names)} images (fingerprint {fingerprint(names)}), {num_labeled} labelled, drawn {drawn} with seed '
        f'{args.seed} by make_splits.py'
    )
    for part in ('labeled', 'unlabeled'):
        chosen = [name for name in names if (name in labeled) == (part == 'labeled')]
        write_list(args.out / f'{part}.txt', chosen, f'{part}: {len(chosen)} {header}')
        print(f'{args.out / part}.txt: {len(chosen)} images')
    if classes is None:
        print('classes not looked at: give --annotations')
        return
    if nowhere:
        print(f'no image shows the classes {sorted(nowhere)}')
    if left := lacking - nowhere:
        print(f'{num_labeled} images are too few to show all classes: the labelled part lacks {sorted(left)}')


if __name__ == '__main__':
    with errors_in_one_sentence():
        main(parse_args())
