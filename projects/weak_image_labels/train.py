"""Train a segmentor on few annotations and many images of which only the classes are known.

    python -m projects.weak_image_labels.train CONFIG

goes through three stages, each in a process of its own, in ``work_dirs/CONFIG_NAME``:

1. ``1_classifier``: mmpretrain trains a classifier on the image-level labels;
2. ``2_pseudo_labels``: its class activation maps become pseudo labels of the unlabelled images;
3. ``3_segmentor``: CONFIG is trained on annotations, unlabelled images and their pseudo labels.

Run again, it goes on where it was interrupted. A stage can be run alone, and on several GPUs: ``torchrun
--nproc_per_node GPUS -m projects.weak_image_labels.train CONFIG --stage segmentor --launcher pytorch``.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.dist import barrier, is_main_process
from mmengine.registry import init_default_scope
from mmengine.runner import find_latest_checkpoint
from mmpretrain import get_model

import mmseg_semi  # noqa: F401
from mmseg_semi.datasets.conversion import errors_in_one_sentence
from mmseg_semi.datasets.semi_dataset import build_lazily
from mmseg_semi.engine.launch import add_launcher, join_processes, leave_together, train_to_end
from mmseg_semi.engine.pseudo_labels import find_unlabeled, fingerprint_file, write_pseudo_labels
from mmseg_semi.utils.config import load_config
from mmseg_semi.utils.files import write_json

from .class_activation_maps import localize
from .image_labels import read_image_labels

STAGES = ('classifier', 'pseudo_labels', 'segmentor')


class Task(NamedTuple):
    """What the stages know: configs, folders and image-level labels."""

    cfg: Config
    classifier: Config
    folders: dict[str, Path]
    images: str  # folder
    names: list[str]  # unlabelled images in it
    labels: dict[str, list[int]]  # from files in it to classes
    metainfo: dict
    background: int | None

    @property
    def classes(self) -> list[int]:
        """list[int]: Ids of the classes that the classifier tells apart."""
        return [i for i in range(len(self.metainfo['classes'])) if i != self.background]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file with weak_labels, such as those of this project')
    parser.add_argument('--stage', choices=STAGES, help='do this one alone')
    parser.add_argument('--work-dir', type=Path, help='default: work_dirs/CONFIG_NAME')
    parser.add_argument('--amp', action='store_true', help='train with automatic mixed precision (GPU only)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of CONFIG')
    add_launcher(parser)
    return parser.parse_args()


def prepare(args: argparse.Namespace) -> Task:
    """Read the configs and check the labels.

    Raises:
        FileNotFoundError, ValueError: Saying what cannot be trained on.
    """
    cfg = load_config(args.config, args.cfg_options)
    if 'weak_labels' not in cfg:
        raise ValueError(f'{args.config} has no weak_labels: see README.md of this project')
    init_default_scope('mmseg')
    weak = cfg.weak_labels
    metainfo = build_lazily(cfg.train_dataloader.dataset.labeled).metainfo
    folder, names = find_unlabeled(cfg)
    labels = read_image_labels(weak.image_labels, folder, names, metainfo['classes'], weak.background_class)
    background = metainfo['classes'].index(weak.background_class) if weak.background_class else None
    work_dir = args.work_dir or Path('work_dirs') / Path(args.config).stem
    folders = {stage: work_dir / f'{number}_{stage}' for number, stage in enumerate(STAGES, start=1)}
    task = Task(cfg, Config.fromfile(weak.classifier), folders, folder, names, labels, metainfo, background)
    task.classifier.model.head.num_classes = len(task.classes)
    return task


def train_classifier(task: Task, args: argparse.Namespace) -> None:
    """Let mmpretrain train on the labels, given in its own format."""
    path = task.folders['classifier'] / 'image_labels.json'
    rows = {image: [task.classes.index(i) for i in ids] for image, ids in task.labels.items()}
    content = dict(
        metainfo=dict(classes=[task.metainfo['classes'][i] for i in task.classes]),
        data_list=[dict(img_path=image, gt_label=label) for image, label in rows.items()],
    )
    if is_main_process():
        write_json(path, content)
    barrier()
    task.classifier.train_dataloader.dataset.update(ann_file=str(path), data_prefix=task.images)
    train_to_end(task.classifier, task.folders['classifier'], args.launcher, args.amp)


def write_maps(task: Task, args: argparse.Namespace) -> None:
    """Write the classifier's activation maps as pseudo labels."""
    folder, weak = task.folders['classifier'], task.cfg.weak_labels
    checkpoint = find_latest_checkpoint(str(folder)) if folder.is_dir() else None
    if checkpoint is None:
        raise ValueError(f'there is no classifier in {folder}: train it with --stage classifier')
    model = get_model(task.classifier, pretrained=checkpoint, device=get_device())
    labels = {os.path.join(task.images, image): ids for image, ids in task.labels.items()}
    options = dict(weak.maps, background_class=task.background)
    files = dict(classifier=fingerprint_file(checkpoint), image_labels=fingerprint_file(weak.image_labels))
    write_pseudo_labels(
        localize(model, labels, task.classes, **options), task.images, task.names, task.folders['pseudo_labels'],
        task.metainfo, record={**options, **files},
    )  # fmt: skip


def train_segmentor(task: Task, args: argparse.Namespace) -> None:
    """Train the config itself."""
    maps = task.folders['pseudo_labels'].resolve() / 'annotations'
    task.cfg.train_dataloader.dataset.unlabeled.data_prefix.seg_map_path = str(maps)
    train_to_end(task.cfg, task.folders['segmentor'], args.launcher, args.amp)


def main(args: argparse.Namespace) -> None:
    task = prepare(args)
    if args.stage:
        join_processes(task.cfg, args.launcher)
        dict(zip(STAGES, (train_classifier, write_maps, train_segmentor), strict=True))[args.stage](task, args)
        return
    for stage in STAGES:
        print(f'{stage}: {task.folders[stage]}', flush=True)
        done = subprocess.run([sys.executable, '-m', __spec__.name, *sys.argv[1:], '--stage', stage])
        if done.returncode:
            raise SystemExit(done.returncode)


if __name__ == '__main__':
    with errors_in_one_sentence():
        main(parse_args())
        leave_together()
