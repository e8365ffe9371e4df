"""Make Mapillary Vistas' annotations readable for mmseg: one id a pixel, without a palette.

    python tools/dataset_converters/mapillary.py data/mapillary

reads ``{training,validation}/v1.2/labels/*.png``, or ``{training,validation}/labels`` as version 1 of the download has
it, and writes ``{training,validation}/v1.2/labels_mask/*.png``: ids 0 to 64 as they are, and 255 for "Unlabeled", 65.
``--version v2.0`` does the same for its 124 classes. It can be interrupted and run again. `Neuhold et al., The
Mapillary Vistas Dataset, ICCV 2017 <https://doi.org/10.1109/ICCV.2017.534>`_.
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
)
from mmseg_semi.datasets.splits import find_images

DOWNLOAD = 'the archive of Mapillary Vistas'
COUNTS = dict(training=18000, validation=2000)
CLASSES = {'v1.2': 66, 'v2.0': 124}  # the last one of each is "Unlabeled"


def convert_label(classes: int, image: Path, source: Path, target: Path) -> None:
    ids = read_ids(source, range(classes), check_image(str(image)))
    save_image(np.where(ids == classes - 1, IGNORED, ids).astype(np.uint8), target)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', type=Path, help='folder that holds training and validation')
    parser.add_argument('--version', choices=list(CLASSES), default='v1.2', help='of the annotations')
    add_partial(parser)
    add_workers(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    tasks = []
    for part, expected in COUNTS.items():
        folder = args.root / part
        labels = folder / args.version / 'labels'
        if args.version == 'v1.2' and not labels.exists() and (folder / 'labels').exists():
            labels = folder / 'labels'
        require(folder / 'images', labels, source=DOWNLOAD)
        images = find_images(folder / 'images', ('.jpg',))
        check_count(f'images of {folder}', len(images), expected, args.partial)
        for name, image in images.items():
            source = labels / f'{name}.png'
            require(source, source=DOWNLOAD)
            target = folder / args.version / 'labels_mask' / source.name
            tasks.append((CLASSES[args.version], image, source, target))
    convert(convert_label, tasks, args.workers, f'annotations of {CLASSES[args.version] - 1} classes')


if __name__ == '__main__':
    with errors_in_one_sentence():
        main(parse_args())
