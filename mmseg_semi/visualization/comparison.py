"""What trained networks predict for the validation images, and where they differ most."""

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings
from mmseg.apis import init_model
from mmseg.datasets import BaseSegDataset
from mmseg.evaluation import IoUMetric
from mmseg.registry import DATASETS

from mmseg_semi.datasets.conversion import IGNORED
from mmseg_semi.evaluation import BoundaryIoUMetric, CalibrationMetric

from .runs import Method, Run

ONE_WRONG, ALL_WRONG = np.array([255, 214, 10]), np.array([193, 18, 31])  # RGB, from yellow to red


class Evaluation(NamedTuple):
    """Predictions of one run for all validation images; all numbers are in percent."""

    folder: Path  # label maps 00000.png, 00001.png, ... of the images, 255 where the truth is ignored
    images: list[str]
    iou: dict[str, float | None]  # of each class; None where neither truth nor prediction has it
    miou: float
    boundary_iou: float  # mean over classes
    ece: float  # expected calibration error


class Case(NamedTuple):
    """One image as several methods see it; pictures are (H, W, 3) uint8, RGB, label maps (H, W) uint8."""

    name: str
    image: np.ndarray
    truth: np.ndarray
    labels: dict[str, np.ndarray]
    accuracy: dict[str, float]  # share of right pixels
    disagreement: np.ndarray
    differing: float  # share of pixels on which not all agree


class Comparison(NamedTuple):
    """Where methods differ."""

    runs: dict[str, Run]  # that predicted, by label of the method
    palette: dict[str, Sequence[int]]  # RGB by class
    cases: list[Case]

    @property
    def one_seed(self) -> bool:
        return len({run.seed for run in self.runs.values()}) == 1


def evaluate(run: Run, cache: Path, cfg_options: dict | None = None) -> Evaluation:
    """Predict all validation images with the last checkpoint, or find in the cache what it predicted before.

    The branch that predicts is the one of the config (``predict_on``), the images are those of ``val_dataloader``.

    Args:
        run (Run): With a checkpoint.
        cache (Path): Folder; each run gets one of its own in it.
        cfg_options (dict, optional): Settings to override, as for the tools; say, a ``data_root`` that has moved.

    Raises:
        FileNotFoundError: If the images are not where the config says.
    """
    cfg = _ready(run.cfg, cfg_options)
    stat = run.checkpoint.stat()
    key = run.checkpoint.resolve(), stat.st_size, stat.st_mtime_ns, cfg.model, cfg.val_dataloader, Evaluation._fields
    folder = cache / f'{run.work_dir.resolve().name}-{hashlib.sha256(str(key).encode()).hexdigest()[:12]}'
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=cache, prefix='.'))
        try:
            (draft / 'evaluation.json').write_text(json.dumps(_predict(cfg, run.checkpoint, draft)))
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return Evaluation(folder, **json.loads((folder / 'evaluation.json').read_text()))


@torch.no_grad()
def _predict(cfg: Config, checkpoint: Path, folder: Path) -> dict:
    """Write the label maps to a folder, and give the other fields of :class:`Evaluation`."""
    loader = Runner.build_dataloader(cfg.val_dataloader)
    meta = loader.dataset.metainfo
    model = init_model(cfg, str(checkpoint), device=get_device())
    metrics = iou, boundary, calibration = IoUMetric(), BoundaryIoUMetric(), CalibrationMetric()
    images = []
    for metric in metrics:
        metric.dataset_meta = meta
    for batch in loader:
        for sample in model.val_step(batch):
            for metric in metrics:
                metric.process(batch, [sample.to_dict()])
            label, truth = (field.data.squeeze(0).cpu() for field in (sample.pred_sem_seg, sample.gt_sem_seg))
            valid = label.where(truth != IGNORED, IGNORED).byte().numpy()
            cv2.imwrite(str(folder / f'{len(images):05}.png'), valid)
            images.append(sample.img_path)
    values = _of_classes(iou, 'IoU')
    known = [None if np.isnan(value) else float(value) for value in values]
    return dict(
        images=images,
        iou=dict(zip(meta['classes'], known, strict=True)),
        miou=float(np.nanmean(values)),
        boundary_iou=float(np.nanmean(_of_classes(boundary, 'BoundaryIoU'))),
        ece=calibration.compute_metrics(calibration.results)['ECE'],
    )


def _of_classes(metric: IoUMetric, name: str) -> np.ndarray:
    """Give what a metric has found for each class, in percent."""
    areas = [torch.stack(part).double().sum(dim=0).cpu() for part in zip(*metric.results, strict=True)]
    return 100 * metric.total_area_to_metrics(*areas)[name]


def _ready(cfg: Config, options: dict | None) -> Config:
    """Copy a config, with other settings, and import what it names."""
    cfg = Config(cfg.to_dict())
    cfg.merge_from_dict(options or {})
    import_modules_from_strings(**cfg.get('custom_imports', dict(imports=[])))
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    return cfg


def compare(
    methods: Sequence[Method], evaluations: Mapping[Path, Evaluation], count: int = 6, cfg_options: dict | None = None
) -> Comparison | None:
    """Find the images on which methods differ most: by the share of pixels on which not all agree.

    One run of each method is looked at, of the seed that most of them have.

    Args:
        methods (Sequence[Method]): Those without an evaluated run are left out.
        evaluations (Mapping[Path, Evaluation]): By work dir.
        count (int): Number of images, at most.
        cfg_options (dict, optional): As for :func:`evaluate`.

    Returns:
        Comparison | None: None for fewer than two methods.
    """
    found = {method.name: [run for run in method.counted if run.work_dir in evaluations] for method in methods}
    found = {name: runs for name, runs in found.items() if runs}
    if len(found) < 2:
        return None
    seeds = Counter(run.seed for runs in found.values() for run in runs)
    seed = max(seeds, key=seeds.get)
    chosen = {name: next((run for run in runs if run.seed == seed), runs[0]) for name, runs in found.items()}
    dataset = DATASETS.build(_ready(next(iter(chosen.values())).cfg, cfg_options).val_dataloader.dataset)
    cases = _find_cases({name: evaluations[run.work_dir] for name, run in chosen.items()}, dataset, count)
    return Comparison(chosen, dict(zip(dataset.metainfo['classes'], dataset.metainfo['palette'], strict=True)), cases)


def _find_cases(evaluations: Mapping[str, Evaluation], dataset: BaseSegDataset, count: int) -> list[Case]:
    number = len(next(iter(evaluations.values())).images)

    def differing(index: int) -> float:
        labels = _labels(evaluations, index)
        return float(np.any([label != labels[0] for label in labels[1:]], axis=0).mean())

    shares = np.array([differing(index) for index in range(number)])
    cases = []
    while len(cases) < count and shares.max() > 0:
        index = int(shares.argmax())
        cases.append(_case(evaluations, dataset, index, float(shares[index])))
        near = max(1, number // (4 * count))  # neighbours in a list are often frames of one video
        shares[max(0, index - near + 1) : index + near] = 0
    return cases


def _labels(evaluations: Mapping[str, Evaluation], index: int) -> list[np.ndarray]:
    return [
        cv2.imread(str(evaluation.folder / f'{index:05}.png'), cv2.IMREAD_GRAYSCALE)
        for evaluation in evaluations.values()
    ]


def _case(evaluations: Mapping[str, Evaluation], dataset: BaseSegDataset, index: int, differing: float) -> Case:
    path = next(iter(evaluations.values())).images[index]
    image = mmcv.imread(path, channel_order='rgb')
    truth = dataset[index]['data_samples'].gt_sem_seg.data[0].numpy()
    labels = dict(zip(evaluations, _labels(evaluations, index), strict=True))
    valid = truth != IGNORED
    accuracy = {name: float((label == truth)[valid].mean()) for name, label in labels.items()}
    stack = np.stack(list(labels.values()))
    return Case(
        Path(path).stem, image, truth.astype(np.uint8), labels, accuracy, _disagreement(image, truth, stack), differing
    )


def _disagreement(image: np.ndarray, truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Colour the pixels on which methods differ, from yellow (one is wrong) to red (all are), over a pale image."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] * 0.5 + 110
    wrong = (labels != truth).sum(axis=0)[..., None]
    red = (wrong - 1) / (len(labels) - 1)
    color = ONE_WRONG + red * (ALL_WRONG - ONE_WRONG)
    return np.where((labels != labels[0]).any(axis=0)[..., None], color, gray).astype(np.uint8)
