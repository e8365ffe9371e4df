"""Files that are never there half."""

import json
import os
import os.path as osp
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Lend a path beside ``path`` to write to, of the same suffix, and move it there once the block has ended well.

    The folder is made where it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'.{os.getpid()}{path.name}')  # several processes may write the same
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def check_checkpoint(path: str | Path) -> None:
    """Refuse a file that is no checkpoint, or a part of one; addresses are left to mmengine.

    Raises:
        SystemExit: Saying which file.
    """
    if '://' in str(path):
        return
    file = Path(path).expanduser()
    if not file.is_file():
        raise SystemExit(f'there is no checkpoint {path}')
    with file.open('rb') as content:
        is_pickle = content.read(1) == b'\x80'  # as torch wrote them before 1.6
    if not (is_pickle or zipfile.is_zipfile(file)):
        raise SystemExit(f'{path} is no checkpoint, or the first part of one alone: copy or download it again')


def common_folder(*paths: str) -> str:
    """Give the nearest folder around all paths, absolute."""
    return osp.commonpath([osp.abspath(path) for path in paths])


def write_json(path: Path, content: Any) -> None:
    """Write JSON in one step."""
    with replace_file(path) as draft:
        draft.write_text(json.dumps(content, indent=1) + '\n')
