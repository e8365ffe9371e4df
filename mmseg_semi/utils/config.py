import os.path as osp

from mmengine.config import Config


def load_config(path: str, options: dict | None = None) -> Config:
    """Read the config file that a command line names.

    Args:
        path (str): File.
        options (dict, optional): Settings to override, as ``--cfg-options`` gives them.

    Raises:
        SystemExit: If there is none.
    """
    if not osp.isfile(path):
        raise SystemExit(f'there is no config {path}')
    cfg = Config.fromfile(path)
    if options:
        cfg.merge_from_dict(options)
    return cfg


def imports_with_ours(cfg: Config) -> list[str]:
    """Name the modules that a config imports, and this package: a config that inherits it replaces the list."""
    imports = cfg.get('custom_imports', {}).get('imports', [])
    return [*dict.fromkeys([*([imports] if isinstance(imports, str) else imports), 'mmseg_semi'])]
