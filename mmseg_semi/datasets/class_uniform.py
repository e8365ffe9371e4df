import hashlib
import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from mmengine.dist import barrier, is_main_process
from mmseg.datasets import BaseSegDataset

from mmseg_semi.utils.files import replace_file

from .checks import check_annotation, data_infos, not_found
from .conversion import available_cpus, track
from .transforms import ClassUniformCrop


class ClassUniform:
    """Show a share of the labelled images for the sake of one class each, all classes equally often.

    Annotations are cut into tiles, and the centroid of each class in each tile is noted down. A class's turn takes one
    of its centroids at random, and :class:`ClassUniformCrop` crops around it. `Zhu et al., Improving semantic
    segmentation via video propagation and label relaxation, CVPR 2019 <https://arxiv.org/abs/1812.01593>`_, whose
    recipe has tiles of 1024 pixels, a share of one half, and 150 of 175 passes class-uniform.

    Where the dataset has a coarse part, a class's turn takes any of the class's centroids, of fine or of coarse
    annotations. There are many more coarse ones; ``coarse_classes`` keeps them to classes that the fine part lacks.

    Centroids are computed once; the cache is named by a fingerprint of the list, the files and the classes.

    Args:
        dataset (SemiDataset): Its labelled part, and the coarse one where there is one.
        share (float): Share of each pass over the images that is drawn class by class, in (0, 1].
        tile (int): Height and width of the tiles in pixels.
        passes (int, optional): Number of passes, from the first, with class-uniform sampling. Defaults to all.
        cache_dir (str, optional): Defaults to ``~/.cache/mmseg_semi``.
        coarse_classes (Sequence[str], optional): Names of the classes whose turns may show coarse images. Defaults to
            all.

    Raises:
        ValueError: If an argument is out of its range, no annotation shows a class, nothing crops around centroids, or
            a coarse class is unknown.
    """

    def __init__(
        self,
        dataset,
        share: float = 0.5,
        tile: int = 1024,
        passes: int | None = None,
        cache_dir: str | None = None,
        coarse_classes: Sequence[str] | None = None,
    ) -> None:
        if not 0 < share <= 1 or tile < 1 or (passes is not None and passes < 1):
            raise ValueError(f'class_uniform: {share=} is not in (0, 1], or {tile=} or {passes=} not positive')
        self.share = share
        self.passes = passes
        default = Path(os.environ.get('XDG_CACHE_HOME', '~/.cache')).expanduser() / 'mmseg_semi'
        cache = Path(cache_dir) if cache_dir else default
        centroids = _part_centroids(dataset, 'labeled', tile, cache)
        if 'coarse' in dataset.parts:
            coarse = _part_centroids(dataset, 'coarse', tile, cache)
            if coarse_classes is not None:
                coarse = coarse[np.isin(coarse[:, 1], _class_ids(coarse_classes, dataset.metainfo['classes']))]
            centroids = np.concatenate([centroids, coarse])
        elif coarse_classes is not None:
            raise ValueError('class_uniform: coarse_classes needs a coarse part in SemiDataset')
        if not len(centroids):
            raise ValueError('class_uniform: no annotation shows any class')
        # For each class that there is, rows of image, y, x.
        self.places = [centroids[centroids[:, 1] == c][:, [0, 2, 3]] for c in np.unique(centroids[:, 1])]

    def draw(self, order: np.ndarray, turn: int, rng: np.random.Generator) -> list[tuple[int, tuple[int, int] | None]]:
        """Replace a share of the images of one pass.

        Args:
            order (np.ndarray): (N,), indices of the images in the order of this pass.
            turn (int): Number of the pass, from 0.
            rng (np.random.Generator): Source of all randomness.

        Returns:
            list: N pairs of an index into the dataset and a place, (y, x) in the pixels of the annotation, or None.
        """
        plan = [(int(index), None) for index in order]
        if self.passes is None or turn < self.passes:
            count = round(self.share * len(order))
            for k, slot in enumerate(rng.permutation(len(order))[:count]):
                # Passes follow each other round the classes, so that all count the same where a pass is short.
                places = self.places[(turn * count + k) % len(self.places)]
                index, y, x = places[rng.integers(len(places))].tolist()
                plan[slot] = (index, (y, x))
        return plan


def _class_ids(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    unknown = sorted(set(names) - set(classes))
    if unknown:
        raise ValueError(f'class_uniform: coarse_classes={unknown} are none of the classes {list(classes)}')
    return [list(classes).index(name) for name in names]


def _part_centroids(dataset, name: str, tile: int, cache_dir: Path) -> np.ndarray:
    """Find the centroids of a part, with indices into the whole dataset."""
    part = dataset.parts[name]
    if not any(isinstance(step, ClassUniformCrop) for step in part.pipeline.transforms):
        raise ValueError(f'class_uniform needs ClassUniformCrop in place of RandomCrop in the {name} pipeline')
    centroids = load_centroids(part, tile, cache_dir)
    centroids[:, 0] += dataset.offset(name)
    return centroids


def load_centroids(dataset: BaseSegDataset, tile: int, cache_dir: Path) -> np.ndarray:
    """Find the centroids of all classes in all tiles of all annotations, or load them from an earlier time.

    Returns:
        np.ndarray: (N, 4) of image, class, y, x.
    """
    infos, num_classes = data_infos(dataset), len(dataset.metainfo['classes'])
    path = cache_dir / f'class_centroids_{_fingerprint(infos, num_classes, tile)}.npy'
    if is_main_process() and not path.exists():
        _compute(infos, num_classes, tile, path)
    barrier()
    if not path.exists():  # the main process writes to another disk
        _compute(infos, num_classes, tile, path)
    return np.load(path)


def class_centroids(label: np.ndarray, num_classes: int, tile: int) -> np.ndarray:
    """Find the centroid of each class in each tile.

    Args:
        label (np.ndarray): (H, W), integer; ids from ``num_classes`` on are left out.
        num_classes (int): Number of classes C.
        tile (int): Height and width of the tiles; those at the right and bottom may be smaller.

    Returns:
        np.ndarray: (N, 3) of class, y, x.
    """
    label, found = np.minimum(label.astype(np.int64), num_classes), []
    for top in range(0, label.shape[0], tile):
        for left in range(0, label.shape[1], tile):
            part = label[top : top + tile, left : left + tile]
            (y, count), (x, _) = _axis_sums(part, num_classes), _axis_sums(part.T, num_classes)
            there = np.flatnonzero(count)
            found.append(np.stack([there, top + y[there] // count[there], left + x[there] // count[there]], axis=1))
    return np.concatenate(found)


def _axis_sums(label: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum the row numbers of each class's pixels, and count them; (C,) each."""
    rows, kinds = np.arange(len(label)), num_classes + 1
    counts = np.bincount((rows[:, None] * kinds + label).ravel(), minlength=len(label) * kinds).reshape(-1, kinds)
    return (rows @ counts)[:num_classes], counts.sum(0)[:num_classes]


def _compute(infos: Sequence[dict], num_classes: int, tile: int, path: Path) -> None:
    print(f'Looking for the classes in {len(infos)} annotations, for {path}')
    per_image = track(partial(_read, num_classes=num_classes, tile=tile), infos, available_cpus())
    centroids = [np.insert(found, 0, image, axis=1) for image, found in enumerate(per_image)]
    with replace_file(path) as draft:
        np.save(draft, np.concatenate(centroids).astype(np.int32))


def _read(info: dict, num_classes: int, tile: int) -> np.ndarray:
    return class_centroids(check_annotation(info, num_classes), num_classes, tile)


def _fingerprint(infos: Sequence[dict], num_classes: int, tile: int) -> str:
    """Name the centroids after all that they depend on."""
    try:
        files = [(os.path.abspath(info['seg_map_path']), os.stat(info['seg_map_path'])) for info in infos]
    except FileNotFoundError as error:
        raise not_found(error.filename, 'annotation') from None
    state = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in files]
    # One dataset maps all its labels alike.
    kinds = (num_classes, tile, sorted((infos[0]['label_map'] or {}).items()), infos[0]['reduce_zero_label'])
    return hashlib.sha256(json.dumps([kinds, state]).encode()).hexdigest()[:16]
