"""Turn the lists that a paper published into ours.

    python tools/dataset_converters/import_splits.py data/VOCdevkit/VOC2012/JPEGImages \
        data/VOCdevkit/VOC2012/splits/unimatch_1_8 --labeled labeled.txt --unlabeled unlabeled.txt

writes ``labeled.txt`` and ``unlabeled.txt`` as make_splits.py does. Lines may be ids, paths, or paths of image and
annotation; folders in front of them need not be those on your disk. Where only the labelled list was published, name
the list of all training images with ``--train`` instead of ``--unlabeled``.
"""

import argparse
from pathlib import Path

from mmseg_semi.datasets.conversion import errors_in_one_sentence
from mmseg_semi.datasets.splits import IMAGE_SUFFIXES, find_images, match_names, read_list, write_list


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', type=Path, help="folder of images, the dataset's data_prefix.img_path")
    parser.add_argument('out', type=Path, help='folder for labeled.txt and unlabeled.txt')
    parser.add_argument('--labeled', type=Path, required=True, help='published list of labelled images')
    rest = parser.add_mutually_exclusive_group(required=True)
    rest.add_argument('--unlabeled', type=Path, help='published list of unlabelled images')
    rest.add_argument('--train', type=Path, help='list of all: those that are not labelled are unlabelled')
    parser.add_argument('--suffix', help="what to cut from the names, such as Cityscapes' _leftImg8bit.png")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    suffixes = (args.suffix,) if args.suffix else IMAGE_SUFFIXES
    names = find_images(args.images, suffixes)

    def load(path: Path) -> list[str]:
        try:
            return match_names(read_list(path), names, suffixes)
        except ValueError as error:
            raise ValueError(f'{path}: {error} {args.images}') from None

    labeled, rest = load(args.labeled), load(args.unlabeled or args.train)
    both = set(labeled).intersection(rest)
    if both and args.unlabeled:
        raise ValueError(
            f'{len(both)} images are in both lists, such as {min(both)}: give {args.unlabeled} as --train to leave the '
            'labelled ones out'
        )
    unlabeled = [name for name in rest if name not in both]
    if not labeled or not unlabeled:
        raise ValueError(f'{len(labeled)} labelled and {len(unlabeled)} unlabelled images: both parts need some')
    for part, chosen, source in (
        ('labeled', labeled, args.labeled.name),
        ('unlabeled', unlabeled, args.unlabeled.name if args.unlabeled else f'{args.train.name} less the labelled'),
    ):
        write_list(args.out / f'{part}.txt', chosen, f'{part}: {len(chosen)} images, imported from {source}')
        print(f'{args.out / part}.txt: {len(chosen)} images')


if __name__ == '__main__':
    with errors_in_one_sentence():
        main(parse_args())
