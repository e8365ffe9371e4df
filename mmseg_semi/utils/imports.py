from mmengine.config import Config


def imports_with_ours(cfg: Config) -> list[str]:
    """Name the modules that a config imports, and this package: a config that inherits it replaces the list."""
    imports = cfg.get('custom_imports', {}).get('imports', [])
    return [*dict.fromkeys([*([imports] if isinstance(imports, str) else imports), 'mmseg_semi'])]
