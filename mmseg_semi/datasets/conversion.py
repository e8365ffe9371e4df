"""What converters of downloads share: nothing is half written, nothing done twice, the first thing wrong is named."""

import argparse
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.utils import track_parallel_progress, track_progress
from PIL import Image

from mmseg_semi.utils.files import replace_file

IGNORED = 255  # the id that mmseg leaves out of loss and metric


def available_cpus() -> int:
    """Count the cores that this process may run on, which a scheduler may have limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--workers``."""
    parser.add_argument('--workers', type=int, default=available_cpus(), help='processes (default: one a core)')


def add_partial(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--partial``."""
    parser.add_argument('--partial', action='store_true', help='take what is there, though the download has more')


@contextmanager
def errors_in_one_sentence() -> Iterator[None]:
    """End the program with the message of what users can mend, without a traceback."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(str(error)) from None


def require(*paths: Path, source: str) -> None:
    """Make sure that files or folders are there.

    Args:
        *paths (Path): The first that is missing is named.
        source (str): Which download they come from.

    Raises:
        FileNotFoundError: If one is missing.
    """
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f'{path} not found: unpack {source} such that it lies there')


def check_count(what: str, found: int, expected: int, partial: bool) -> None:
    """Make sure that a download is complete.

    Raises:
        ValueError: If a number is not the expected one and ``partial`` is not set; also if there is nothing at all.
    """
    if found == 0 or (found != expected and not partial):
        raise ValueError(
            f'{what}: found {found}, the complete download has {expected}; download it again'
            + (', or take what is there with --partial' if found else '')
        )


def track(function: Callable[[Any], Any], tasks: Sequence, workers: int) -> list:
    """Call a function on every task, on several processes, behind a progress bar; give the results in order."""
    try:
        if workers <= 1 or len(tasks) < 2:
            return track_progress(function, tasks)
        return track_parallel_progress(function, tasks, workers, chunksize=8)
    except BaseException:
        print()  # leave the line of the progress bar
        raise


def convert(function: Callable[..., None], tasks: Sequence[tuple], workers: int, what: str, targets: int = 1) -> None:
    """Call ``function(*task)`` for every task of which a target is not there yet.

    Args:
        function (Callable): Writes each target in one step, last of all, as :func:`save_image` does.
        tasks (Sequence[tuple]): Arguments; the last ones are each the :obj:`Path` of a target.
        workers (int): Number of processes.
        what (str): What is made, in words.
        targets (int): Number of targets of a task. Defaults to 1.
    """
    todo = [task for task in tasks if not all(target.exists() for target in task[-targets:])]
    print(f'{what}: {len(todo)} to do, {len(tasks) - len(todo)} done before')
    if todo:
        track(partial(_call, function), todo, workers)


def _call(function: Callable[..., None], task: tuple) -> None:
    function(*task)


def read_ids(path: Path, allowed: Collection[int], size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an annotation, PNG with one id a pixel; of a palette image, the indices.

    Args:
        path (Path): File.
        allowed (Collection[int]): Ids that may occur.
        size (tuple[int, int], optional): Height and width that it must have.

    Returns:
        np.ndarray: (H, W) uint8.

    Raises:
        ValueError: If the file is unreadable, has another size, or an id that is not allowed.
    """
    ids = np.asarray(open_image(path))
    check_ids(ids, path, allowed, size)
    return ids.astype(np.uint8)


def check_ids(ids: np.ndarray, path: Path, allowed: Collection[int], size: tuple[int, int] | None = None) -> None:
    """Make sure that the annotation of a file has the right size and ids; see :func:`read_ids`."""
    if ids.ndim != 2:
        raise ValueError(f'{path} has shape {ids.shape}: an annotation is an image of ids, one channel')
    if size is not None and ids.shape != tuple(size):
        raise ValueError(f'{path} has height and width {ids.shape}, but {tuple(size)} is right')
    wrong = np.setdiff1d(ids, np.fromiter(allowed, int))
    if wrong.size:
        raise ValueError(f'{path} has the ids {wrong.tolist()[:8]}, which mean no class; download it again')


def open_image(path: Path) -> Image.Image:
    """Read a whole image, at once.

    Raises:
        ValueError: If it is missing, unreadable or truncated.
    """
    try:
        image = Image.open(path)
        image.load()
    except (OSError, SyntaxError) as error:
        raise ValueError(f'unreadable image {path}: {error}; download it again') from error
    return image


def image_file(text: str) -> Path:
    """Take the name of an image to write from the command line, as the ``type`` of an option."""
    path = Path(text)
    if path.suffix.lower() not in ('.png', '.jpg', '.jpeg'):
        raise argparse.ArgumentTypeError(f'{text!r} says not which kind of image to write: end it in .png or .jpg')
    return path


def save_image(pixels: np.ndarray, path: Path, **options) -> None:
    """Write an image such that it is never there half; ``options`` are those of PIL."""
    with replace_file(path) as draft:
        Image.fromarray(pixels).save(draft, **options)


def write_names(path: Path, names: Iterable[str]) -> None:
    """Write a plain list, one name a line, in one step."""
    with replace_file(path) as draft:
        draft.write_bytes(''.join(f'{name}\n' for name in names).encode())
