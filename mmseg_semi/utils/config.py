import os.path as osp
from pathlib import Path

from mmengine.config import Config
from mmengine.hub import get_config


def load_config(path: str | Path, options: dict | None = None) -> Config:
    """Read the config file that a command line names.

    Args:
        path (str | Path): File, or ``mmseg::NAME`` and ``mmseg_semi::NAME`` for one that is installed.
        options (dict, optional): Settings to override, as ``--cfg-options`` gives them.

    Raises:
        SystemExit: If there is none, or one that it inherits from is missing.
    """
    installed = str(path).startswith(('mmseg::', 'mmseg_semi::'))
    if not (installed or osp.isfile(path)):
        raise SystemExit(f'there is no config {path}')
    try:
        cfg = get_config(str(path)) if installed else Config.fromfile(path)
    except (AssertionError, FileNotFoundError) as error:
        raise SystemExit(f'the config {path} cannot be read: {str(error) or type(error).__name__}') from error
    if options:
        cfg.merge_from_dict(options)
    return cfg


def imports_with_ours(cfg: Config) -> list[str]:
    """Name the modules that a config imports, and this package: a config that inherits it replaces the list."""
    imports = cfg.get('custom_imports', {}).get('imports', [])
    return [*dict.fromkeys([*([imports] if isinstance(imports, str) else imports), 'mmseg_semi'])]
