"""Image-level labels: files with a line ``image class class ...`` for each image.

Images are named as in lists, with or without suffix; a space in the name of a class is written as ``_``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmseg_semi.datasets.splits import cut_suffix, find_images, read_list, write_list


def read_image_labels(
    path: str, folder: str, needed: Sequence[str], classes: Sequence[str], background: str | None = None
) -> dict[str, list[int]]:
    """Read the labels and see that they can be trained on.

    Args:
        path (str): File of labels.
        folder (str): Folder of the images.
        needed (Sequence[str]): Images in it that must have a line.
        classes (Sequence[str]): Names of all classes of the segmentor.
        background (str, optional): One of them that is in every image and therefore in no line.

    Returns:
        dict[str, list[int]]: From files, relative to the folder, to the ids of their classes.

    Raises:
        FileNotFoundError: If the file or the folder is missing.
        ValueError: Naming the first line, image or class that is wrong.
    """
    ids = {name.replace(' ', '_'): i for i, name in enumerate(classes) if name != background}
    if background is not None and background not in classes:
        raise ValueError(f'background_class={background!r} is none of the classes {list(classes)}')
    images = {name: file.relative_to(folder).as_posix() for name, file in find_images(Path(folder)).items()}
    labels: dict[str, list[int]] = {}
    for line in read_list(path):
        name, *words = line.split()
        image = images.get(cut_suffix(name))
        if image is None:
            raise ValueError(f'{path}: the line {line!r} names no image of {folder}')
        if image in labels:
            raise ValueError(f'{path} has two lines for the image {name}')
        unknown = [word for word in words if word not in ids]
        if unknown or not words:
            wrong = f'the class {unknown[0]!r}, which is none' if unknown else 'no class'
            raise ValueError(f'{path}: the line {line!r} has {wrong} of {", ".join(ids)}')
        labels[image] = sorted({ids[word] for word in words})
    missing = sorted(set(needed) - labels.keys())
    if missing:
        raise ValueError(f'{path} has no line for {len(missing)} of the unlabelled images, such as {missing[0]}')
    absent = [name for name, i in ids.items() if not any(i in some for some in labels.values())]
    if absent:
        raise ValueError(
            f'{path}: the class {absent[0]!r} is in no line, so that nothing can be learnt of it: add images that show '
            'it, or name it as background_class if it is in all of them'
        )
    return labels


def write_image_labels(path: Path, labels: Mapping[str, Sequence[int]], classes: Sequence[str], header: str) -> None:
    """Write labels, from names of images to ids of classes, under a line of comment."""
    words = [name.replace(' ', '_') for name in classes]
    write_list(path, [' '.join([name, *(words[i] for i in ids)]) for name, ids in labels.items()], header)
