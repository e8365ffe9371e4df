"""Make Cityscapes' annotations of 19 classes, and check its coarse set, whose images can be trained on with or without.

    python tools/dataset_converters/cityscapes.py data/cityscapes

writes ``*_gtFine_labelTrainIds.png`` next to the ``*_gtFine_labelIds.png`` of training and validation images, and the
list of both, ``splits/trainval/labeled.txt``. Images of ``leftImg8bit/test`` and ``train_extra``, where they are there,
are checked; coarse annotations are not needed, and converted where ``gtCoarse/train_extra`` is there. It can be
interrupted and run again.
"""

import argparse
from pathlib import Path

import numpy as np

from mmseg_semi.datasets.checks import check_image
from mmseg_semi.datasets.conversion import (
    IGNORED,
    add_partial,
    add_workers,
    check_count,
    convert,
    errors_in_one_sentence,
    read_ids,
    require,
    save_image,
    track,
    write_names,
)
from mmseg_semi.datasets.splits import find_images

IMAGES, LABELS, COARSE_LABELS = 'leftImg8bit_trainvaltest.zip', 'gtFine_trainvaltest.zip', 'gtCoarse.zip'
COUNTS = dict(train=2975, val=500, test=1525, train_extra=19998)
MISSING = dict(test='no images to submit predictions of', train_extra='no coarse set')
SIZE = (1024, 2048)
# The ids of the 19 classes that are evaluated, in the order of their train ids.
CLASSES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
TRAIN_IDS = np.full(256, IGNORED, np.uint8)
TRAIN_IDS[list(CLASSES)] = range(19)


def convert_label(source: Path, target: Path) -> None:
    save_image(TRAIN_IDS[read_ids(source, range(34), SIZE)], target)


def check_size(path: Path) -> None:
    size = check_image(str(path))
    if size != SIZE:
        raise ValueError(f'{path} has height and width {size}, but {SIZE} is right; download it again')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', type=Path, help='folder that holds leftImg8bit and gtFine')
    add_partial(parser)
    add_workers(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    images, labels = args.root / 'leftImg8bit', args.root / 'gtFine'
    require(images, *(images / part for part in ('train', 'val')), source=IMAGES)
    require(labels, *(labels / part for part in ('train', 'val')), source=LABELS)

    found = {}
    for part, expected in COUNTS.items():
        if (images / part).exists():
            found[part] = find_images(images / part, ('_leftImg8bit.png',))
            check_count(f'images of {images / part}', len(found[part]), expected, args.partial)
        else:
            print(f'{images / part} is not there: {MISSING[part]}')
    tasks, kinds = [], dict(train=('gtFine', LABELS), val=('gtFine', LABELS))
    if 'train_extra' in found and (args.root / 'gtCoarse/train_extra').exists():
        kinds['train_extra'] = ('gtCoarse', COARSE_LABELS)
    for part, (kind, archive) in kinds.items():
        for name in found[part]:
            source = args.root / kind / part / f'{name}_{kind}_labelIds.png'
            require(source, source=archive)
            tasks.append((source, source.with_name(source.name.replace('labelIds', 'labelTrainIds'))))

    for part, paths in found.items():
        print(f'Checking {len(paths)} images of {part}')
        track(check_size, list(paths.values()), args.workers)
    convert(convert_label, tasks, args.workers, 'annotations of 19 classes')
    both = [f'{part}/{name}' for part in ('train', 'val') for name in found[part]]
    write_names(args.root / 'splits/trainval/labeled.txt', both)


if __name__ == '__main__':
    with errors_in_one_sentence():
        main(parse_args())
