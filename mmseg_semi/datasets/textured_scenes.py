"""Textured scenes: a small synthetic dataset, generated in seconds, on which unlabelled images pay off.

Every scene is a little landscape. Its classes come in pairs that are painted with the *same* texture from the *same*
colours, so only the surroundings, the position and the shape tell them apart:

========  ======================  ==============================================
family    classes                 what tells them apart
========  ======================  ==============================================
air       sky, water              above the horizon, or between the shores
foliage   land, tree              flat ground, or a crown on a trunk
masonry   road, building          a band on the ground, or an upright block
paint     balloon, buoy           a striped ball in the sky, or in the water
========  ======================  ==============================================

The colours of a family lie on a closed loop (daylight, seasons, kinds of stone) and a scene draws its own place on each
loop. A few labelled scenes show a few places; the many unlabelled ones fill the gaps smoothly, and that is the
structure which consistency training can use.
"""

import copy
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

CLASSES = ('sky', 'land', 'water', 'road', 'building', 'tree', 'balloon', 'buoy')
SKY, LAND, WATER, ROAD, BUILDING, TREE, BALLOON, BUOY = range(len(CLASSES))

# Colour loops (RGB); a place on a loop is a real number modulo its length.
AIR = (
    (135, 191, 237),
    (92, 143, 219),
    (242, 184, 128),
    (217, 128, 140),
    (107, 97, 158),
    (46, 61, 107),
    (158, 179, 184),
)
FOLIAGE = (
    (115, 168, 77),
    (64, 122, 56),
    (140, 148, 64),
    (204, 168, 82),
    (199, 115, 56),
    (128, 92, 66),
    (224, 230, 237),
)
MASONRY = ((158, 158, 158), (107, 107, 117), (179, 107, 87), (209, 173, 128), (230, 219, 199), (128, 140, 158))
PAINT = ((204, 51, 51), (230, 140, 38), (242, 217, 64), (64, 153, 77), (51, 102, 184), (140, 71, 158))

SUPERSAMPLING = 2


@DATASETS.register_module()
class TexturedScenesDataset(BaseSegDataset):
    """Scenes written by :func:`generate_textured_scenes`; ``ann_file`` names a split, e.g. ``splits/labeled.txt``."""

    METAINFO = dict(
        classes=CLASSES,
        palette=[
            [135, 196, 240],
            [156, 204, 101],
            [38, 99, 196],
            [120, 120, 130],
            [214, 112, 82],
            [30, 110, 60],
            [250, 200, 50],
            [190, 60, 160],
        ],
    )

    def __init__(self, img_suffix: str = '.png', seg_map_suffix: str = '.png', **kwargs) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)


def generate_textured_scenes(
    root: str | Path,
    num_labeled: int = 16,
    num_unlabeled: int = 300,
    num_val: int = 100,
    size: tuple[int, int] = (96, 96),
    seed: int = 0,
) -> None:
    """Write the dataset to ``root``: ``images/``, ``annotations/`` (each ``train/`` and ``val/``) and ``splits/``.

    The first ``num_labeled`` train scenes are listed in ``splits/labeled.txt``, the others in ``splits/unlabeled.txt``
    and all of them in ``splits/train.txt``. Labels are written for every scene, so that the fully supervised ceiling
    can be measured too. A scene depends on ``(seed, split, index)`` and ``size`` alone: another number of labels moves
    scenes between the lists and changes no picture.

    The folder appears in one step once it is complete. Calling again with the same arguments returns at once.

    Args:
        root: Folder to create; its parents are created as needed.
        num_labeled: Number of labelled train scenes.
        num_unlabeled: Number of unlabelled train scenes.
        num_val: Number of validation scenes.
        size: Height and width of the scenes in pixels, each at least 32.
        seed: Seed of the whole dataset.

    Raises:
        ValueError: If a number is negative or a side is shorter than 32 pixels.
        FileExistsError: If ``root`` holds anything but this very dataset.
    """
    root, size = Path(root), tuple(size)
    if min(num_labeled, num_unlabeled, num_val, seed) < 0 or len(size) != 2 or min(size) < 32:
        raise ValueError(
            'numbers of scenes and seed must not be negative and size must be (H, W), each at least 32, but got '
            f'{num_labeled=}, {num_unlabeled=}, {num_val=}, {size=}, {seed=}'
        )
    num_train = num_labeled + num_unlabeled
    parameters = dict(num_labeled=num_labeled, num_unlabeled=num_unlabeled, num_val=num_val, size=size, seed=seed)
    record = json.dumps(parameters)
    if _is_complete(root, record, num_train + num_val):
        return

    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f'.{root.name}-') as scratch:
        draft = Path(scratch) / root.name
        train = _write_scenes(draft, 'train', num_train, size, seed)
        _write_scenes(draft, 'val', num_val, size, seed)
        (draft / 'splits').mkdir()
        for split, names in dict(train=train, labeled=train[:num_labeled], unlabeled=train[num_labeled:]).items():
            (draft / 'splits' / f'{split}.txt').write_text(''.join(f'{name}\n' for name in names))
        (draft / 'parameters.json').write_text(record)
        try:
            draft.rename(root)
        except OSError:  # another process was faster
            if not _is_complete(root, record, num_train + num_val):
                raise


def render_scene(split: str, index: int, size: tuple[int, int] = (96, 96), seed: int = 0) -> tuple:
    """Draw one scene.

    Args:
        split: ``'train'`` or ``'val'``.
        index: Number of the scene in its split.
        size: Height and width in pixels.
        seed: Seed of the whole dataset.

    Returns:
        The image, (H, W, 3) uint8 in OpenCV's BGR order, and the label map, (H, W) uint8 with values 0…7.
    """
    rng = np.random.Generator(np.random.PCG64([seed, ('train', 'val').index(split), index]))
    scene = _Scene(rng, size)
    scene.paint_background()
    scene.paint_balloons_and_buoys()
    scene.paint_buildings_and_trees()
    return scene.photograph()


class _Scene:
    """A canvas that is painted back to front. Lengths are fractions of the height, with the origin at the top left."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        height, width = (SUPERSAMPLING * side for side in size)
        self.rng = rng
        self.y, self.x = np.mgrid[:height, :width].astype(np.float32) / height
        self.height, self.width = height, width / height
        self.image = np.zeros((height, width, 3), np.float32)
        self.label = np.zeros((height, width), np.uint8)
        self.daylight, self.season = rng.uniform(0, len(AIR)), rng.uniform(0, len(FOLIAGE))
        self.light = 0.6 + 0.4 * float(_colour(AIR, self.daylight).mean())

    def paint_background(self) -> None:
        rng, x, y = self.rng, self.x, self.y
        self.horizon = rng.uniform(0.3, 0.5)
        self.paint(np.ones_like(y, bool), SKY, self.air(y / self.horizon))
        ground = y > self.horizon + 0.05 * self.noise(1, 4)[:1]
        self.paint(ground, LAND, self.foliage(rng.uniform(0.95, 1.1)))

        wave = 0.06 * self.noise(1, 4)[:1]
        kind = rng.integers(3)
        if kind == 0:  # a bay in front
            shore = rng.uniform(self.horizon + 0.22, 0.85) + rng.uniform(-0.25, 0.25) * (x - self.width / 2) + wave
            water = y > shore
        elif kind == 1:  # the sea behind
            water = (y > self.horizon) & (y < self.horizon + rng.uniform(0.16, 0.3) + wave)
        else:  # a pond
            cx, cy = rng.uniform(0.1, 0.9) * self.width, rng.uniform(self.horizon + 0.15, 0.9)
            water = _ellipse(x, y + wave, cx, cy, rng.uniform(0.3, 0.5), rng.uniform(0.14, 0.24)) & ground
        self.paint(water, WATER, self.air(y) * rng.uniform(0.75, 0.95))

        along = rng.uniform() < 0.5
        s = x / self.width if along else (y - self.horizon) / (1 - self.horizon)
        bend = rng.uniform(-0.15, 0.15) * np.sin(np.float32(np.pi) * s) + rng.uniform(-0.2, 0.2) * (s - 0.5)
        if along:
            offset, half = y - rng.uniform(self.horizon + 0.1, 0.9) - bend, rng.uniform(0.06, 0.09)
        else:
            offset, half = x - rng.uniform(0.2, 0.8) * self.width - 2 * bend, rng.uniform(0.1, 0.14) * (0.5 + s)
        self.paint((abs(offset) < half) & (self.label == LAND), ROAD, self.masonry())

    def paint_balloons_and_buoys(self) -> None:
        rng = self.rng
        for _ in range(rng.integers(0, 4)):
            cx, cy = rng.uniform(0.05, 0.95) * self.width, rng.uniform(0.05, 0.9) * self.horizon
            r = rng.uniform(0.07, 0.12)
            part = self.window(cx - r, cy - r, cx + r, cy + 2 * r)
            x, y = part.x, part.y
            basket = (abs(x - cx) < 0.2 * r) & (abs(y - cy - 1.35 * r) < 0.2 * r)
            part.paint(basket & (part.label == SKY), BALLOON, self.light * _colour(MASONRY, 2.5) * 0.6)
            part.paint(_ellipse(x, y, cx, cy, r, r) & (part.label == SKY), BALLOON, part.ball(cx, cy, r))
        for cx, cy in sorted(self.places(WATER, rng.integers(0, 5)), key=lambda place: place[1]):
            r = rng.uniform(0.07, 0.11)
            part = self.window(cx - r, cy - r, cx + r, cy + r)
            floating = _ellipse(part.x, part.y, cx, cy, r, r) & (part.y < cy + rng.uniform(0.3, 0.7) * r)
            part.paint(floating, BUOY, part.ball(cx, cy, r))

    def paint_buildings_and_trees(self) -> None:
        rng = self.rng
        standing = [(*place, _Scene.paint_building) for place in self.places(LAND, rng.integers(1, 3))]
        standing += [(*place, _Scene.paint_tree) for place in self.places(LAND, rng.integers(2, 5))]
        for cx, base, draw in sorted(standing, key=lambda item: item[1]):  # the nearer hides the farther
            part = self.window(cx - 0.4, base - 0.8, cx + 0.4, base)
            draw(part, cx, base, 0.8 + 0.6 * (base - self.horizon))

    def paint_building(self, cx: float, base: float, scale: float) -> None:
        rng, x, y = self.rng, self.x, self.y
        half, height, roof = (scale * rng.uniform((0.1, 0.18, 0.04), (0.17, 0.36, 0.12))).tolist()
        above, aside = base - y, abs(x - cx)
        wall = (aside < half) & (above > 0) & (above < height)
        gable = (above >= height) & (aside < (half + 0.02) * (1 - (above - height) / (roof + 1e-6)))
        colour = self.masonry()
        self.paint(wall, BUILDING, colour)
        self.paint(gable, BUILDING, colour * rng.uniform(0.6, 1.1))
        pitch = scale * rng.uniform(0.06, 0.09)
        window = (abs((x - cx) / pitch % 1 - 0.5) < 0.22) & (abs(above / pitch % 1 - 0.5) < 0.25)
        window &= (aside < half - 0.02) & (above > 0.04) & (above < height - 0.02)
        self.paint(window & (rng.uniform() < 0.6), BUILDING, rng.uniform(0.2, 0.9) * _colour(MASONRY, 4))

    def paint_tree(self, cx: float, base: float, scale: float) -> None:
        rng, x, y = self.rng, self.x, self.y
        half, height = (scale * rng.uniform((0.09, 0.22), (0.15, 0.4))).tolist()
        trunk = (abs(x - cx) < 0.15 * half) & (y < base) & (y > base - height / 2)
        self.paint(trunk, TREE, self.light * _colour(FOLIAGE, 5) * 0.6)
        middle, half_height = base - 0.6 * height, 0.45 * height
        if rng.uniform() < 0.35:  # a fir
            crown = abs(x - cx) < half * (y - middle + half_height) / (2 * half_height)
            crown &= y < middle + half_height
        else:
            crown = _ellipse(x, y, cx, middle, half, half_height)
            for dx, dy in rng.uniform(-0.6, 0.6, (3, 2)).tolist():
                crown |= _ellipse(x, y, cx + dx * half, middle + dy * half_height, 0.6 * half, 0.5 * half_height)
        shade = 1 - 0.35 * np.clip((y - middle) / half_height + (x - cx) / half, -1, 1)
        self.paint(crown, TREE, self.foliage(rng.uniform(0.6, 0.85)) * shade[..., None])

    def photograph(self) -> tuple[np.ndarray, np.ndarray]:
        """Add the camera's illumination, colour cast, blur and noise, and reduce to the final size."""
        rng = self.rng
        image = self.image * (1 + 0.15 * self.noise(2, 2)[..., None]) * rng.uniform(0.85, 1.12, 3).astype(np.float32)
        height, width = self.label.shape
        image = cv2.resize(image, (width // SUPERSAMPLING, height // SUPERSAMPLING), interpolation=cv2.INTER_AREA)
        image = cv2.GaussianBlur(image, (5, 5), rng.uniform(0.2, 0.7))
        image += rng.uniform(0.01, 0.03) * rng.standard_normal(image.shape, np.float32)
        image = (255 * image[..., ::-1] + 0.5).clip(0, 255).astype(np.uint8)
        return image, self.label[::SUPERSAMPLING, ::SUPERSAMPLING].copy()

    def window(self, left: float, top: float, right: float, bottom: float) -> '_Scene':
        """A part of the canvas that shares its pixels: what is small is painted faster there."""
        rows, columns = (
            slice(max(0, int(start * self.height)), int(stop * self.height) + 1)
            for start, stop in ((top, bottom), (left, right))
        )
        part = copy.copy(self)
        part.x, part.y, part.image, part.label = (a[rows, columns] for a in (self.x, self.y, self.image, self.label))
        return part

    def paint(self, mask: np.ndarray, label: int, colour: np.ndarray) -> None:
        self.image[mask] = colour[mask] if colour.ndim == 3 else colour
        self.label[mask] = label

    def places(self, label: int, number: int) -> list[tuple[float, float]]:
        """``number`` random points of a class, or none where the class has no pixel."""
        candidates = np.flatnonzero(self.label == label)
        chosen = self.rng.choice(candidates, number) if len(candidates) else []
        return [(float(self.x.flat[i]), float(self.y.flat[i])) for i in chosen]

    def noise(self, rows: int, columns: int) -> np.ndarray:
        """Smooth noise of about unit amplitude from a grid of ``rows`` x ``columns`` random values a canvas."""
        height, width = self.label.shape
        rows = -(-rows * height // self.height)
        columns = -(-columns * width // round(self.width * self.height))
        grid = self.rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
        return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)

    def air(self, depth: np.ndarray) -> np.ndarray:
        """Horizontal streaks, paler with depth: clouds or ripples."""
        rng = self.rng
        columns = rng.integers(2, 6)
        streaks = self.noise(columns * rng.integers(2, 8), columns)
        colour = _colour(AIR, self.daylight + rng.uniform(-0.4, 0.4))
        return colour * (1 + rng.uniform(0.03, 0.15) * streaks + rng.uniform(-0.1, 0.25) * depth)[..., None]

    def foliage(self, brightness: float) -> np.ndarray:
        """Speckle of a random grain: grass or leaves."""
        rng = self.rng
        grain = rng.integers(12, 48)
        speckle = self.noise(grain, grain) + 0.5 * self.noise(6, 6)
        colour = self.light * brightness * _colour(FOLIAGE, self.season + rng.uniform(-0.5, 0.5))
        return colour * (1 + rng.uniform(0.08, 0.25) * speckle)[..., None]

    def masonry(self) -> np.ndarray:
        """Courses of bricks with dark joints: a pavement or a wall."""
        rng = self.rng
        course = rng.uniform(0.03, 0.06)
        length = course * rng.uniform(1.2, 2.5)
        row = np.floor(self.y / course)
        joint = (self.y / course % 1 < 0.25) | ((self.x / length + row / 2) % 1 < 0.15)
        colour = self.light * rng.uniform(0.8, 1.1) * _colour(MASONRY, rng.uniform(0, len(MASONRY)))
        return colour * (1 - np.float32(rng.uniform(0.2, 0.4)) * joint + 0.08 * self.noise(24, 24))[..., None]

    def ball(self, cx: float, cy: float, r: float) -> np.ndarray:
        """Stripes of two colours on a round body, lit from the upper left."""
        rng = self.rng
        across = np.where(rng.uniform() < 0.5, self.x - cx, self.y - cy) / r
        first, second = rng.uniform(0, len(PAINT), 2).tolist()
        stripe = (across * rng.uniform(0.8, 2.0) + rng.uniform() / 2) % 1 < 0.5
        colour = np.stack([_colour(PAINT, second), _colour(PAINT, first)])[stripe.astype(np.uint8)]
        shade = 1 - 0.25 * np.clip((self.x - cx + self.y - cy) / r, -1, 1)
        return self.light * colour * shade[..., None]


def _colour(loop: Sequence[tuple[int, int, int]], place: float) -> np.ndarray:
    """The colour at a place on a closed loop, in 0…1."""
    before = int(np.floor(place))
    weight = np.float32(place - before)
    first, second = (np.array(loop[i % len(loop)], np.float32) / 255 for i in (before, before + 1))
    return (1 - weight) * first + weight * second


def _ellipse(x: np.ndarray, y: np.ndarray, cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
    return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1


def _write_scenes(root: Path, split: str, number: int, size: tuple[int, int], seed: int) -> list[str]:
    images, annotations = root / 'images' / split, root / 'annotations' / split
    images.mkdir(parents=True)
    annotations.mkdir(parents=True)
    names = [f'{split}_{index:04d}' for index in range(number)]
    for index, name in enumerate(names):
        image, label = render_scene(split, index, size, seed)
        for path, picture in ((images, image), (annotations, label)):
            if not cv2.imwrite(str(path / f'{name}.png'), picture):
                raise OSError(f'cannot write {path / name}.png')
    return names


def _is_complete(root: Path, record: str, number: int) -> bool:
    """Whether the dataset is there; raises where something else is in its place."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    parameters = root / 'parameters.json'
    found = parameters.read_text() if parameters.is_file() else None
    pictures = [len(list(root.glob(f'{folder}/*/*.png'))) for folder in ('images', 'annotations')]
    if found is None:
        problem = 'holds something else'
    elif found != record:
        problem = f'was generated with {found}, not {record}'
    elif pictures != [number, number]:
        problem = f'holds {pictures[0]} images and {pictures[1]} annotations, not {number} each'
    else:
        return True
    raise FileExistsError(f'{root} {problem}; remove this folder or generate the scenes in another one')
