"""Derive image-level labels from annotations, to try the project where there are no others.

    python -m projects.weak_image_labels.annotations_to_image_labels CONFIG LIST OUT

writes to OUT a line ``image class class ...`` for each image of LIST, a list that the labelled dataset of CONFIG can
take. A class is named if it has at least ``--min-share`` of the image's pixels: what somebody would name who looks at
the image for a second. A class that is in all images teaches a classifier nothing.
"""

import argparse
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress

from mmseg_semi.datasets import SemiDataset
from mmseg_semi.datasets.checks import check_annotation, data_infos
from mmseg_semi.datasets.conversion import errors_in_one_sentence

from .image_labels import write_image_labels


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file of this project')
    parser.add_argument('list', type=Path, help='list of images with annotations')
    parser.add_argument('out', type=Path, help='file to write')
    parser.add_argument('--min-share', type=float, default=0.0, help='of the pixels, in [0, 1) (default: any pixel)')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    if not args.list.is_file():
        raise ValueError(f'there is no list {args.list}')
    if not 0 <= args.min_share < 1:
        raise ValueError(f'--min-share {args.min_share} is not in [0, 1)')
    cfg = Config.fromfile(args.config)
    init_default_scope('mmseg')
    labeled = dict(cfg.train_dataloader.dataset.labeled, ann_file=str(args.list.resolve()))
    dataset = SemiDataset(labeled).parts['labeled']
    classes, labels = dataset.metainfo['classes'], {}
    folder = Path(dataset.data_prefix['img_path'])
    for info in track_iter_progress(data_infos(dataset)):
        label = check_annotation(info, len(classes))
        shares = [(label == i).mean() for i in range(len(classes))]
        found = [
            i for i, share in enumerate(shares)
            if share > 0 and share >= args.min_share and classes[i] != cfg.weak_labels.background_class
        ]  # fmt: skip
        if found:
            name = Path(info['img_path']).relative_to(folder).with_suffix('').as_posix()
            labels[name] = found
    write_image_labels(args.out, labels, classes, f'from annotations of {args.list.name}, min_share {args.min_share}')
    print(f'\n{args.out}: {len(labels)} images')


if __name__ == '__main__':
    with errors_in_one_sentence():
        main(parse_args())
