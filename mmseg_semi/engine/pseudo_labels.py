"""Pseudo labels as files: what a network says of unlabelled images, written as annotations to train on."""

import json
import os.path as osp
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import barrier, get_dist_info, is_main_process
from mmseg.apis import inference_model
from mmseg.models import BaseSegmentor
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_semi.datasets import PseudoLabeledDataset, UnlabeledDataset
from mmseg_semi.datasets.checks import check_unlabeled, data_infos
from mmseg_semi.datasets.conversion import IGNORED, convert, save_image, write_names
from mmseg_semi.models.prediction import score_logits
from mmseg_semi.utils.files import common_folder, write_json
from mmseg_semi.visualization import colorize, heat, panel

# From an image file to its (H, W) pseudo label, :data:`IGNORED` where it does not count, and confidence in [0, 1].
Predict = Callable[[str], tuple[np.ndarray, np.ndarray]]


def find_unlabeled(
    cfg: Config, folder: str | None = None, ann_file: str | None = None, labeled: dict | None = None
) -> tuple[str, list[str]]:
    """Find the images to predict.

    Args:
        cfg (Config): Where no folder is given, the images that it trains on are taken, or those that its variable
            ``unlabeled`` describes, as supervised configs of this package have it.
        folder (str, optional): Folder of images.
        ann_file (str, optional): List of images in the folder, in place of the config's or of all images.
        labeled (dict, optional): Config of a dataset whose images are left out.

    Returns:
        tuple[str, list[str]]: The folder, or where a list leaves it (``../other/image.jpg``) the nearest one around
        all images, and names in it with their suffixes.

    Raises:
        FileNotFoundError: If the folder or the list is missing.
        ValueError: If there is no image, or an image cannot be read.
    """
    if folder is not None:
        source = dict(data_prefix=dict(img_path=folder))
    elif unlabeled := cfg.get('train_dataloader', {}).get('dataset', {}).get('unlabeled') or cfg.get('unlabeled'):
        keys = ('data_root', 'data_prefix', 'ann_file', 'img_suffix')
        source = {key: unlabeled[key] for key in keys if key in unlabeled}
    else:
        raise ValueError('the config names no unlabelled images: give their folder, and a list if not all are meant')
    if ann_file is not None:
        source['ann_file'] = osp.abspath(ann_file)
    images = UnlabeledDataset(**source, lazy_init=True)
    paths = [info['img_path'] for info in images.load_data_list()]
    if labeled is not None:
        known = {osp.realpath(info['img_path']) for info in data_infos(DATASETS.build(labeled))}
        paths = [path for path in paths if osp.realpath(path) not in known]
    root = images.data_prefix.get('img_path') or images.data_root
    if not paths:
        raise ValueError(f'there is no unlabelled image in {root} and {images.ann_file or "no list"}')
    root = common_folder(root, *paths)
    return root, [osp.relpath(path, root) for path in paths]


def segment(model: BaseSegmentor, threshold: float) -> Predict:
    """Predict with a segmentor, as mmseg's inference does.

    Args:
        model (BaseSegmentor): Of :func:`mmseg_semi.models.load_segmentor`.
        threshold (float): Least confidence, the probability of the predicted class, of a pseudo label.
    """

    def predict(path: str) -> tuple[np.ndarray, np.ndarray]:
        result = inference_model(model, path)
        logits = score_logits(model.decode_head, result.seg_logits.data.float())
        # Of a single channel, mmseg gives the probability.
        prob = logits.softmax(dim=0) if len(logits) > 1 else torch.cat([1 - logits, logits])
        label = result.pred_sem_seg.data[0]  # of a single channel, above the head's threshold
        confidence = prob.gather(0, label[None].long())[0]
        return label.where(confidence >= threshold, IGNORED).cpu().numpy(), confidence.cpu().numpy()

    return predict


def write_pseudo_labels(
    predict: Predict,
    folder: str,
    names: list[str],
    out_dir: Path,
    classes: dict,
    record: dict,
    num_shown: int = 6,
) -> None:
    """Write the pseudo labels of images, those that are not there yet; the processes of a launcher share the work.

    ``out_dir`` then has ``annotations/`` with a PNG for each image, the list ``images.txt``, the picture
    ``pseudo_labels.png`` and, in ``made_with.json``, how they were made.

    Args:
        predict (Predict): Says what an image shows.
        folder (str): Folder of the images.
        names (list[str]): Images in it.
        out_dir (Path): Folder to write to.
        classes (dict): ``dict(classes=..., palette=...)``.
        record (dict): What the pseudo labels depend on beside the folder, to be written as JSON. Others are not mixed
            with these.
        num_shown (int): Rows of the picture, at most. Defaults to 6.

    Raises:
        ValueError: If an image cannot be read, the folder has other pseudo labels, or no pixel gets any.
    """
    rank, world_size = get_dist_info()
    if is_main_process():
        _begin(out_dir, dict(record, folder=osp.abspath(folder)))
        write_names(out_dir / 'images.txt', names)
    barrier()
    images = PseudoLabeledDataset(
        data_prefix=dict(img_path=folder, seg_map_path=str(out_dir / 'annotations')),
        ann_file=str(out_dir / 'images.txt'),
        metainfo=dict(classes=tuple(classes['classes'])),
    )
    if is_main_process():
        check_unlabeled(images)

    def write(image: str, target: Path) -> None:
        save_image(predict(image)[0].astype(np.uint8), target)

    tasks = [(info['img_path'], Path(info['seg_map_path'])) for info in data_infos(images)]
    convert(write, tasks[rank::world_size], workers=1, what=f'pseudo labels in {out_dir}')
    barrier()
    if is_main_process():
        _report(tasks, classes['classes'])

    picture = out_dir / 'pseudo_labels.png'
    if is_main_process() and not picture.exists():
        palette, rows = classes.get('palette') or images.metainfo['palette'], []
        for number in np.linspace(0, len(tasks) - 1, min(num_shown, len(tasks))).astype(int):
            image, (label, confidence) = tasks[number][0], predict(tasks[number][0])
            rows.append([cv2.imread(image)[..., ::-1], colorize(label, palette), heat(confidence)])
        save_image(panel(rows, ['image', 'pseudo label', 'confidence'], max_width=400), picture)


def check_threshold(threshold: float) -> None:
    """Raise a ``ValueError`` unless a threshold is in (0, 1]."""
    if not 0 < threshold <= 1:
        raise ValueError(f'threshold={threshold} is no confidence in (0, 1]')


def fingerprint_file(path: str) -> list:
    """Tell one state of a file from another: path, size and time, for a record."""
    stat = Path(path).stat()
    return [osp.abspath(path), stat.st_size, stat.st_mtime_ns]


def _report(tasks: list[tuple[str, Path]], classes: Sequence[str]) -> None:
    """Say how many pixels have a pseudo label, and of which classes."""
    counts = sum(np.bincount(np.asarray(Image.open(label)).ravel(), minlength=256) for _, label in tasks)
    shares = counts[: len(classes)] / counts.sum()
    if not shares.any():
        raise ValueError(
            f'no pixel of {len(tasks)} images has a pseudo label: take a lower --threshold, which '
            'tools/analysis_tools/pseudo_label_quality.py helps to choose, or train the network longer'
        )
    named = ', '.join(f'{name} {share:.1%}' for name, share in zip(classes, shares, strict=True))
    print(f'{shares.sum():.1%} of all pixels have a pseudo label: {named}')


def _begin(out_dir: Path, record: dict) -> None:
    """Note how pseudo labels are made, or make sure that those which are there were made alike."""
    note = out_dir / 'made_with.json'
    if note.exists():
        before = json.loads(note.read_text())
        changed = [key for key, value in json.loads(json.dumps(record)).items() if before.get(key) != value]
        if changed:
            raise ValueError(
                f'{out_dir} has pseudo labels that were made with another {" and ".join(changed)} (made_with.json): '
                'remove the folder and what was trained on it, or choose another one'
            )
    write_json(note, record)
