"""What a run should tell of itself, beside its numbers."""

import platform
import re
import subprocess
from pathlib import Path

from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]


def note_origin(cfg: Config) -> None:
    """Write into a config what its run comes from, for records and reports: ``commit`` and ``cpu``."""
    cfg.commit, cfg.cpu = commit(), cpu()


def commit(root: Path = ROOT) -> str:
    """Name the commit whose code runs, with ``-dirty`` where the code has been changed since.

    Args:
        root (Path): Folder of the repository. Defaults to the one of this package.

    Returns:
        str: ``'unknown'`` where the package is not run from a repository.
    """
    git = ['git', '-C', str(root)]
    try:
        names = subprocess.run(
            [*git, 'rev-parse', '--show-toplevel', '--short=12', 'HEAD'], capture_output=True, text=True, check=True
        )
        code = subprocess.run([*git, 'diff', '--quiet', 'HEAD', '--', 'mmseg_semi', 'configs', 'tools'])
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'
    top, name = names.stdout.splitlines()
    if Path(top).resolve() != root.resolve():  # installed somewhere in another one
        return 'unknown'
    return name + ('-dirty' if code.returncode else '')


def cpu() -> str:
    """Name the CPU: another one rounds otherwise, so that the same seed becomes another run."""
    info = Path('/proc/cpuinfo')
    names = re.findall(r'^model name\s*: (.+)$', info.read_text(), re.MULTILINE) if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()
