"""Predict unlabelled images with a trained network, and write its confident predictions as annotations.

    python tools/write_pseudo_labels.py CONFIG CHECKPOINT OUT_DIR --images FOLDER --threshold 0.9

writes ``OUT_DIR/annotations/`` with a PNG of class ids for each image, 255 where the network is less sure, the list
``OUT_DIR/images.txt`` and the picture ``OUT_DIR/pseudo_labels.png``. It can be interrupted and run again. A
``PseudoLabeledDataset`` reads the result.
"""

import argparse
from pathlib import Path

from mmengine.config import DictAction
from mmengine.device import get_device

from mmseg_semi.datasets.conversion import errors_in_one_sentence
from mmseg_semi.engine.pseudo_labels import (
    check_threshold,
    find_unlabeled,
    fingerprint_file,
    segment,
    write_pseudo_labels,
)
from mmseg_semi.models import load_segmentor
from mmseg_semi.utils.config import load_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, of this package or of mmseg')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out_dir', type=Path, help='folder to write to')
    parser.add_argument('--images', metavar='FOLDER', help="folder of images; default: the config's unlabelled images")
    parser.add_argument('--list', help="list of images; default: the config's, or all of FOLDER")
    parser.add_argument('--threshold', type=float, default=0.9, help='least confidence (default: %(default)s)')
    parser.add_argument('--predict-on', choices=['teacher', 'student'], help="default: the model's own predict_on")
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings, e.g. model.a=1')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    check_threshold(args.threshold)
    cfg = load_config(args.config, args.cfg_options)
    folder, names = find_unlabeled(cfg, args.images, args.list)
    model = load_segmentor(cfg, args.checkpoint, args.predict_on).to(get_device())
    record = dict(
        threshold=args.threshold, predict_on=args.predict_on, checkpoint=fingerprint_file(args.checkpoint),
        model=cfg.model.to_dict(), pipeline=model.cfg.test_pipeline,
    )  # fmt: skip
    write_pseudo_labels(segment(model, args.threshold), folder, names, args.out_dir, model.dataset_meta, record)
    print(f'Picture: {args.out_dir}/pseudo_labels.png')


if __name__ == '__main__':
    with errors_in_one_sentence():
        main(parse_args())
