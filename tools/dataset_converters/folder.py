"""Check a folder of your own images and list which are labelled.

    python tools/dataset_converters/folder.py data/mine/images --annotations data/mine/annotations --num-classes 3 \
        --out data/mine/splits/all

reads every image and annotation and, if all are sound, writes ``labeled.txt``, the images that have an annotation, and
``unlabeled.txt``, those that have none. An annotation has its image's name, with ``--seg-map-suffix`` at the end, and
one channel of class ids; 255 is ignored. Without ``--out``, as for images to validate on, each image must have one.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from mmseg_semi.datasets.checks import absent_classes, check_annotation, check_image, count_pixels
from mmseg_semi.datasets.conversion import add_workers, errors_in_one_sentence, track
from mmseg_semi.datasets.splits import IMAGE_SUFFIXES, find_images, write_list


def check(task: tuple[Path, Path | None], num_classes: int | None) -> np.ndarray | int:
    """Check an image, and count the pixels of each class in its annotation."""
    image, annotation = task
    if annotation is None:
        check_image(str(image))
        return 0
    info = dict(img_path=str(image), seg_map_path=str(annotation), label_map=None, reduce_zero_label=False)
    return count_pixels(check_annotation(info, num_classes), num_classes)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', type=Path, help='folder of images; subfolders count')
    parser.add_argument('--annotations', type=Path, help='folder of annotations, with the same subfolders')
    parser.add_argument('--num-classes', type=int, help='ids go from 0 to this, left out')
    parser.add_argument('--suffix', help='what images end in (default: any common suffix)')
    parser.add_argument('--seg-map-suffix', default='.png', help='what annotations end in (default: %(default)s)')
    parser.add_argument('--out', type=Path, help='folder for labeled.txt and unlabeled.txt; none is written without')
    add_workers(parser)
    args = parser.parse_args()
    if (args.annotations is None) != (args.num_classes is None):
        parser.error('--annotations and --num-classes go together')
    return args


def main(args: argparse.Namespace) -> None:
    images = find_images(args.images, (args.suffix,) if args.suffix else IMAGE_SUFFIXES)
    annotations = find_images(args.annotations, (args.seg_map_suffix,)) if args.annotations else {}
    stray = next((path for name, path in annotations.items() if name not in images), None)
    if stray:
        raise ValueError(
            f'annotation {stray}, less its ending {args.seg_map_suffix}, has no image of its name in {args.images}: '
            'see --seg-map-suffix'
        )
    bare = next((path for name, path in images.items() if name not in annotations), None)
    if args.annotations and not args.out and bare:
        raise FileNotFoundError(f'image {bare} has no annotation; with --out it would be listed as unlabelled')
    labeled = [images[name] for name in annotations]
    suffix = args.suffix or next((path.suffix for path in labeled), '')
    odd = next((path for path in labeled if not path.name.endswith(suffix)), None)
    if odd:
        raise ValueError(
            f'labelled images end in {suffix}, but not {odd}, and mmseg reads one img_suffix, in one case: convert or '
            'rename some'
        )

    print(f'Checking {len(images)} images and {len(annotations)} annotations')
    tasks = [(path, annotations.get(name)) for name, path in images.items()]
    pixels = sum(track(partial(check, num_classes=args.num_classes), tasks, args.workers))
    absent = absent_classes(pixels, [f'id {i}' for i in range(args.num_classes)]) if annotations else ()
    print(f'No annotation shows {", ".join(absent)}' if absent else 'All are sound')
    if args.out:
        for part in ('labeled', 'unlabeled'):
            names = [name for name in images if (name in annotations) == (part == 'labeled')]
            header = f'{part}: {len(names)} of {len(images)} images, by whether they have an annotation (folder.py)'
            write_list(args.out / f'{part}.txt', names, header)
            print(f'{args.out / part}.txt: {len(names)} images')


if __name__ == '__main__':
    with errors_in_one_sentence():
        main(parse_args())
