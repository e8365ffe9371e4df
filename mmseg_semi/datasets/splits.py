"""Lists of images: how they are read, written, drawn at random, and matched with those that papers publish."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmseg_semi.utils.files import replace_file

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
SEPARATOR = re.compile(r'[\s,]+')  # of the paths of image and annotation in a line


def read_list(path: str | Path) -> list[str]:
    """Read the lines of a list, without empty lines and comments, which start with ``#``.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'list of images not found: {path}')
    lines = [line.strip() for line in path.read_text(encoding='utf-8-sig').splitlines()]
    return [line for line in lines if line and not line.startswith('#')]


def write_list(path: Path, names: Sequence[str], header: str) -> None:
    """Write a list under a line of comment that says how it was made; the same bytes on every platform."""
    with replace_file(path) as draft:
        draft.write_bytes('\n'.join([f'# {header}', *names, '']).encode())


def find_images(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """Find the images of a folder and its subfolders; what is hidden is none.

    Returns:
        dict[str, Path]: From names, relative to the folder and without suffix, to files; in the order of names.

    Raises:
        FileNotFoundError: If there is no such folder or it has no image.
        ValueError: If two images have one name.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'folder of images not found: {folder}')
    found: dict[str, Path] = {}
    files = (Path(root, file) for root, _, files in os.walk(folder, followlinks=True) for file in files)
    for path in sorted(files):
        name = path.relative_to(folder).as_posix()
        if (stem := cut_suffix(name, suffixes)) != name and not is_hidden(name):
            if stem in found:
                raise ValueError(f'{found[stem]} and {path} differ only in their suffix, which lists leave out')
            found[stem] = path
    if not found:
        raise FileNotFoundError(f'{folder} has no image that ends in {", ".join(suffixes)}')
    return dict(sorted(found.items()))


def is_hidden(name: str) -> bool:
    """Whether a path, relative to the folder of images, has a part that begins with a dot."""
    return any(part.startswith('.') for part in Path(name).parts)


def cut_suffix(name: str, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> str:
    """Cut the first of the suffixes that a name ends in, in upper or lower case."""
    return next((name[: -len(s)] for s in suffixes if name.lower().endswith(s.lower())), name)


def fingerprint(names: Iterable[str]) -> str:
    """Twelve characters that tell one list of names from another."""
    return hashlib.sha256('\n'.join(names).encode()).hexdigest()[:12]


def rank(
    names: Iterable[str],
    seed: int,
    classes: Mapping[str, frozenset[int]] | None = None,
    balance: bool = False,
) -> list[str]:
    """Order names at random, such that the first n are a labelled part for any n.

    Names are ordered by a hash of seed and name: no random generator, so that every platform and version agrees, and
    new images leave the order of the old ones as it is.

    Args:
        names (Iterable[str]): Names of images.
        seed (int): Another one gives another order.
        classes (Mapping[str, frozenset[int]], optional): Ids of the classes that each image shows. Images that together
            show them all then come first: each time the first one, in the random order, of those that show most of
            what is missing.
        balance (bool): Whether each further image is the first that shows the class which the fewest images before it
            show.

    Raises:
        ValueError: If ``balance`` is asked for without ``classes``.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(f'{seed}:{name}'.encode()).digest())
    if classes is None:
        if balance:
            raise ValueError('balancing needs to know the classes of each image')
        return order
    ranked = dict.fromkeys(_cover(order, classes))  # a dict, since it keeps the order and finds a name fast
    if balance:
        shown = dict.fromkeys(sorted(frozenset().union(*classes.values())), 0)
        waiting = {c: iter([name for name in order if c in classes[name]]) for c in shown}
        for name in ranked:
            shown = {c: n + (c in classes[name]) for c, n in shown.items()}
        while waiting:
            rarest = min(waiting, key=lambda c: (shown[c], c))
            name = next((name for name in waiting[rarest] if name not in ranked), None)
            if name is None:
                del waiting[rarest]  # all its images are in
                continue
            ranked[name] = None
            for c in classes[name]:
                shown[c] += 1
    ranked.update(dict.fromkeys(order))
    return list(ranked)


def _cover(order: Sequence[str], classes: Mapping[str, frozenset[int]]) -> list[str]:
    """Choose few names that together show every class."""
    missing, cover = frozenset().union(*classes.values()), []
    while missing:
        cover.append(max(order, key=lambda name: len(classes[name] & missing)))
        missing -= classes[cover[-1]]
    return cover


def match_names(lines: Iterable[str], names: Iterable[str], suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[str]:
    """Find the images that the lines of a published list mean.

    A line is an id, a path, or a path and that of its annotation, with or without suffix, under folders of their own. A
    path with folders means no image whose own folder is another one. Examples::

        2007_000032
        JPEGImages/2007_000032.jpg SegmentationClass/2007_000032.png
        leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png gtFine/train/aachen/...

    Args:
        lines (Iterable[str]): Lines of the list.
        names (Iterable[str]): Images that there are, as :func:`find_images` gives them.
        suffixes (Sequence[str]): What may be cut from the end of a path.

    Returns:
        list[str]: Their names in the list's order, each once.

    Raises:
        ValueError: Naming the first line that means no image, or more than one.
    """
    known: dict[str, list[str]] = {}
    for name in names:
        for tail in _tails(name):
            known.setdefault(tail, []).append(name)
    suffixes = [*suffixes, *IMAGE_SUFFIXES]
    found = []
    for line in lines:
        paths = (cut_suffix(path, suffixes) for path in (line, SEPARATOR.split(line)[0]))
        matches = next(filter(None, (_search(path, known) for path in paths)), [])
        if len(matches) != 1:
            meant = f'could be {" or ".join(matches[:2])} of' if matches else 'names no image of'
            raise ValueError(f'the line {line!r} {meant} the folder')
        found += matches
    return list(dict.fromkeys(found))


def _search(path: str, known: Mapping[str, list[str]]) -> list[str]:
    """Find the images of the longest tail of a path that means some."""
    tails = _tails(path)
    for tail in tails:
        if SEPARATOR.search(path) and not SEPARATOR.search(tail):
            break  # what is left is the annotation's path
        # A file's name alone means an image of a subfolder only where the path has no folder.
        images = [name for name in known.get(tail, []) if tail == tails[0] or '/' in tail or '/' not in name]
        if images:
            return images
    return []


def _tails(path: str) -> list[str]:
    """``a/b/c`` gives ``a/b/c``, ``b/c`` and ``c``."""
    parts = [part for part in path.replace('\\', '/').split('/') if part not in ('', '.')]
    return ['/'.join(parts[i:]) for i in range(len(parts))]
