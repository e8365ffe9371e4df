"""Time the pipelines of unlabelled images on one core, against the customary way of the same operations.

Customary is what most released code does: PIL opens and resizes, torchvision jitters a PIL image, PIL blurs it, and
each view becomes a normalised tensor. All take turns on the same images in one process and one thread; the table shows
the median round, in samples per second of processor time, which other work on the machine disturbs least. The customary
way normalises in the worker, ours later, on the model's device: the rows that end in "normalised" add that, on the CPU.

Examples:
    python tools/analysis_tools/benchmark_pipeline.py --data-root data/camvid/images/train
    python tools/analysis_tools/benchmark_pipeline.py configs/unimatch/CONFIG.py    # the pipelines of a config
"""

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from mmseg.registry import DATASETS
from PIL import Image, ImageFilter, ImageOps
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional

from mmseg_semi.datasets import SemiDataset, semi_collate
from mmseg_semi.datasets.conversion import errors_in_one_sentence
from mmseg_semi.datasets.splits import find_images
from mmseg_semi.models import SemiDataPreprocessor
from mmseg_semi.utils.config import load_config

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WEAK_STRONG, PAIRED = 'weak, strong, strong', 'paired crops'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('\n\n')[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('config', nargs='?', type=Path, help="time a config's own pipelines instead")
    parser.add_argument('--data-root', type=Path, default='data/camvid/images/train', help='folder of images')
    parser.add_argument('--images', type=int, default=20, help='images of a round, the first of the list')
    parser.add_argument('--repeats', type=int, default=9, help='rounds')
    parser.add_argument('--seed', type=int, default=0, help='of the augmentation')
    return parser.parse_args()


def ours(size: tuple[int, int], on_device: bool = False) -> dict[str, list[dict]]:
    """Configure the pipelines; ``size`` is the image's width and height."""
    load = dict(type='LoadUnlabeledImage')
    resize = dict(type='RandomResize', scale=size, ratio_range=(0.5, 2.0), keep_ratio=True)
    flip = dict(type='RandomFlip', prob=0.5)
    color = dict(type='StrongPhotometric', on_device=on_device)
    box = dict(type='RandomCutMixRegion', num_boxes=1, area=(0.02, 0.4), aspect_ratio=(0.3, 1 / 0.3), prob=0.5)
    crop = dict(type='RandomCrop', crop_size=(321, 321))
    pad = dict(type='Pad', size=(321, 321), pad_val=dict(img=0, seg=255))
    pair = dict(type='PairedRandomCrop', crop_size=320, stride=8, iou_range=(0.1, 1.0))
    views = dict(type='MultiView', weak=[], strong1=[box, color], strong2=[box, color])
    return {
        WEAK_STRONG: [load, resize, crop, pad, flip, views],
        PAIRED: [load, resize, pair, dict(type='MultiView', crop1=[color, flip], crop2=[color, flip])],
    }


class Customary:
    """The same operations with PIL and torchvision."""

    def __init__(self) -> None:
        self.jitter = transforms.RandomApply([transforms.ColorJitter(0.5, 0.5, 0.5, 0.25)], p=0.8)
        self.gray = transforms.RandomGrayscale(p=0.2)

    def load(self, path: Path, crop: int) -> tuple[Image.Image, Image.Image]:
        """Open an image, resize it and pad it to the crop; a mask marks the padding."""
        image = Image.open(path).convert('RGB')
        mask = Image.fromarray(np.zeros((image.height, image.width), np.uint8))
        ratio = random.uniform(0.5, 2.0)
        size = int(image.width * ratio + 0.5), int(image.height * ratio + 0.5)
        image, mask = image.resize(size, Image.BILINEAR), mask.resize(size, Image.NEAREST)
        border = (0, 0, max(crop - size[0], 0), max(crop - size[1], 0))
        return ImageOps.expand(image, border, fill=0), ImageOps.expand(mask, border, fill=255)

    def strong(self, image: Image.Image) -> Image.Image:
        """Jitter, gray and blur."""
        image = self.gray(self.jitter(image))
        if random.random() < 0.5:
            image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))
        return image

    def tensor(self, image: Image.Image) -> Tensor:
        """Make a normalised tensor."""
        return functional.normalize(functional.to_tensor(image), MEAN, STD)

    def box(self, size: int) -> Tensor:
        """Draw a CutMix box."""
        mask, paste = torch.zeros(size, size), random.random() < 0.5
        while paste:
            area, ratio = random.uniform(0.02, 0.4) * size**2, random.uniform(0.3, 1 / 0.3)
            height, width = int((area * ratio) ** 0.5), int((area / ratio) ** 0.5)
            top, left = random.randint(0, size), random.randint(0, size)
            if top + height <= size and left + width <= size:
                mask[top : top + height, left : left + width] = 1
                break
        return mask

    def weak_strong(self, path: Path, crop: int = 321) -> tuple[Tensor, ...]:
        """Make one weak and two strong views."""
        image, mask = self.load(path, crop)
        left, top = random.randint(0, image.width - crop), random.randint(0, image.height - crop)
        place = (left, top, left + crop, top + crop)
        image, mask = image.crop(place), mask.crop(place)
        if random.random() < 0.5:
            image, mask = (x.transpose(Image.FLIP_LEFT_RIGHT) for x in (image, mask))
        views = [image, self.strong(image.copy()), self.strong(image.copy())]
        boxes = [self.box(crop) for _ in range(2)]
        return *map(self.tensor, views), torch.from_numpy(np.array(mask)).long(), *boxes

    def paired(self, path: Path, crop: int = 320, stride: int = 8) -> tuple[Tensor, ...]:
        """Make two crops whose IoU is at least 0.1."""
        image, mask = self.load(path, crop)
        room = [(side - crop) // stride for side in image.size]
        while True:
            first, second = ([stride * random.randint(0, most) for most in room] for _ in range(2))
            width, height = (max(crop - abs(a - b), 0) for a, b in zip(first, second, strict=True))
            if width * height >= 0.1 * (2 * crop**2 - width * height):
                break
        made = []
        for left, top in (first, second):
            place = (left, top, left + crop, top + crop)
            view, shown = image.crop(place), mask.crop(place)
            if random.random() < 0.5:
                view, shown = (x.transpose(Image.FLIP_LEFT_RIGHT) for x in (view, shown))
            made += [self.tensor(self.strong(view)), torch.from_numpy(np.array(shown)).long()]
        return tuple(made)


def built_in(paths: list[Path]) -> dict[str, tuple[Callable[[int], object], str]]:
    """Give what makes the i-th sample, and what it is compared with, by name."""
    customary, rows = Customary(), {}
    size = Image.open(paths[0]).size
    mean, std = ([255 * x for x in values] for values in (MEAN, STD))
    preprocessor = SemiDataPreprocessor(
        dict(type='SegDataPreProcessor', mean=mean, std=std, bgr_to_rgb=True, size_divisor=1)
    )
    for name, make in {WEAK_STRONG: customary.weak_strong, PAIRED: customary.paired}.items():
        reference = f'{name}: PIL and torchvision'
        rows[reference] = (lambda i, make=make: make(paths[i]), reference)
        for on_device in (False, True):
            dataset = DATASETS.build(
                dict(
                    type='UnlabeledDataset',
                    data_prefix=dict(img_path=str(paths[0].parent)),
                    pipeline=ours(size, on_device)[name],
                )
            )
            title = f'{name}: ours{", colours left to the device" * on_device}'
            rows[title] = (dataset.__getitem__, reference)
            if not on_device:
                rows[f'{title}, normalised'] = (
                    lambda i, dataset=dataset: preprocessor(semi_collate([dataset[i]]), training=True),
                    reference,
                )
    return rows


def of_config(path: Path) -> dict[str, tuple[Callable[[int], object], str]]:
    """The same for each part of a config's training data."""
    dataset = DATASETS.build(load_config(path).train_dataloader.dataset)
    if not isinstance(dataset, SemiDataset):
        raise SystemExit(f'{path}: train_dataloader.dataset is no SemiDataset')
    rows = {}
    for name, part in dataset.parts.items():
        indices = range(dataset.offset(name), dataset.offset(name) + len(part))
        rows[name] = (lambda i, indices=indices: dataset[indices[i % len(indices)]], name)
    return rows


def main(args: argparse.Namespace) -> None:
    """Measure and print the table."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    init_default_scope('mmseg')
    if args.config:
        rows = of_config(args.config)
    else:
        paths = list(find_images(args.data_root).values())[: args.images]
        rows = built_in(paths)
        args.images = len(paths)
    rates = {name: [] for name in rows}
    for turn in range(-1, args.repeats):  # the first warms up
        for name, (make, _) in rows.items():
            set_random_seed(args.seed + max(turn, 0))
            start = time.process_time()
            for i in range(args.images):
                make(i)
            if turn >= 0:
                rates[name].append(args.images / (time.process_time() - start))
    print(f'{args.images} images a round, one process, one thread')
    print(f'{"pipeline":<62}{"samples / s":>12}{"ratio":>8}')
    for name, (_, reference) in rows.items():
        print(f'{name:<62}{median(rates[name]):>12.2f}{median(rates[name]) / median(rates[reference]):>8.2f}')


if __name__ == '__main__':
    with errors_in_one_sentence():
        main(parse_args())
