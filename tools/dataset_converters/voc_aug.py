"""Join PASCAL VOC 2012 and the Semantic Boundaries Dataset (SBD): 10582 training annotations instead of 1464.

    python tools/dataset_converters/voc_aug.py data/VOCdevkit/VOC2012 data/benchmark_RELEASE

writes ``SegmentationClassAug`` with an annotation of each training and validation image, VOC's own where it has one,
and the lists ``ImageSets/Segmentation/{trainaug,aug}.txt``. It can be interrupted and run again. `Hariharan et al.,
Semantic contours from inverse detectors, ICCV 2011 <https://doi.org/10.1109/ICCV.2011.6126343>`_.
"""

import argparse
from pathlib import Path

from scipy.io import loadmat

from mmseg_semi.datasets.checks import check_image
from mmseg_semi.datasets.conversion import (
    IGNORED,
    add_partial,
    add_workers,
    check_count,
    check_ids,
    convert,
    errors_in_one_sentence,
    read_ids,
    require,
    save_image,
    write_names,
)
from mmseg_semi.datasets.splits import read_list

VOC = 'VOCtrainval_11-May-2012.tar'
SBD = "SBD's benchmark.tgz"
IDS = (*range(21), IGNORED)


def convert_voc(image: Path, source: Path, target: Path) -> None:
    save_image(read_ids(source, IDS, check_image(str(image))), target)


def convert_sbd(image: Path, source: Path, target: Path) -> None:
    try:
        ids = loadmat(source, mat_dtype=False)['GTcls']['Segmentation'][0, 0]
    except Exception as error:  # scipy raises many kinds for files that are no .mat files
        raise ValueError(f'unreadable annotation {source}: {error}; unpack {SBD} again') from error
    check_ids(ids, source, IDS, check_image(str(image)))
    save_image(ids.astype('uint8'), target)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('voc', type=Path, help='folder VOCdevkit/VOC2012')
    parser.add_argument('sbd', type=Path, help='folder benchmark_RELEASE')
    add_partial(parser)
    add_workers(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    images, own, aug = (args.voc / name for name in ('JPEGImages', 'SegmentationClass', 'SegmentationClassAug'))
    lists, sbd = args.voc / 'ImageSets/Segmentation', args.sbd / 'dataset'
    require(images, own, lists / 'train.txt', lists / 'val.txt', source=VOC)
    require(sbd / 'cls', sbd / 'train.txt', sbd / 'val.txt', source=SBD)

    train, val = read_list(lists / 'train.txt'), read_list(lists / 'val.txt')
    extra = sorted({*read_list(sbd / 'train.txt'), *read_list(sbd / 'val.txt')}.difference(train, val))
    tasks = {
        convert_voc: [(images / f'{n}.jpg', own / f'{n}.png', aug / f'{n}.png') for n in (*train, *val)],
        convert_sbd: [(images / f'{n}.jpg', sbd / f'cls/{n}.mat', aug / f'{n}.png') for n in extra],
    }
    if args.partial:
        tasks = {do: [task for task in some if task[0].exists() and task[1].exists()] for do, some in tasks.items()}
    for image, annotation, _ in (task for some in tasks.values() for task in some):
        require(image, source=VOC)
        require(annotation, source=VOC if annotation.suffix == '.png' else SBD)
    there = {task[-1].stem for some in tasks.values() for task in some}
    train, val, extra = ([name for name in names if name in there] for names in (train, val, extra))
    check_count(f'training images of {args.voc} and {args.sbd}', len(train) + len(extra), 10582, args.partial)
    check_count(f'validation images of {args.voc}', len(val), 1449, args.partial)

    convert(convert_voc, tasks[convert_voc], args.workers, "VOC's own annotations")
    convert(convert_sbd, tasks[convert_sbd], args.workers, 'annotations of SBD')
    write_names(lists / 'aug.txt', extra)
    write_names(lists / 'trainaug.txt', sorted(train + extra))
    print(f'{aug}: {len(there)} annotations; {lists}/trainaug.txt: {len(train) + len(extra)} images')


if __name__ == '__main__':
    with errors_in_one_sentence():
        main(parse_args())
