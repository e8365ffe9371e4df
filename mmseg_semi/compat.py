"""What the package needs of its surroundings, checked and mended at import."""

import pickle
from importlib import import_module
from typing import Any

_INSTALL = "pip install -e '.[onedl]' in the repository of mmseg_semi"
# module: (lowest version that works, first one that does not)
_SUPPORTED = {
    'mmengine': ('0.10.0', '1.0.0'),
    'torch': ('2.2.0', '3.0.0'),
    'mmcv': ('2.0.0rc4', '3.0.0'),
    'mmseg': ('1.2.0', '2.0.0'),
}


def check_versions() -> None:
    """Refuse packages that this one was not written for.

    Raises:
        ImportError: If a package is missing or its version is not supported; the message says what to install.
    """
    for name, (lowest, limit) in _SUPPORTED.items():
        try:
            version = import_module(name).__version__
            from mmengine.utils import digit_version

            if name == 'mmseg':
                import_module('mmseg.datasets')  # of which one line of packages needs mmpretrain
        except (ImportError, AssertionError) as error:  # mmseg and mmpretrain assert that they fit mmcv
            raise ImportError(f'mmseg_semi cannot import {name} ({error}); install it with {_INSTALL}') from error
        if not digit_version(lowest) <= digit_version(version) < digit_version(limit):
            raise ImportError(
                f'mmseg_semi needs {name} >= {lowest}, < {limit}, but {version} is installed; '
                f'install a supported version with {_INSTALL}'
            )


def prepare_mmengine() -> None:
    """Let mmengine find mmseg's and our configs and load its own checkpoints, whichever line of it is installed.

    ``_base_ = 'mmseg::...'`` looks for a distribution of a name that only one line of packages has, and the training
    history in a checkpoint is made of classes and their methods, which torch >= 2.6 unpickles only once they are
    declared safe.
    """
    import numpy as np
    import torch
    from mmengine.config.utils import MODULE2PACKAGE
    from mmengine.logging.history_buffer import HistoryBuffer
    from mmengine.utils import digit_version

    MODULE2PACKAGE['mmseg'] = 'mmseg'
    # Of a distribution that is installed in place mmengine may not find the folder; that of a module it does.
    MODULE2PACKAGE['mmseg_semi'] = __name__
    if digit_version(torch.__version__) >= digit_version('2.6.0'):
        arrays = (getattr(np, '_core', None) or np.core).multiarray
        dtypes = [type(np.dtype(kind)) for kind in ('float64', 'float32', 'int64', 'int32', 'bool')]
        history = [HistoryBuffer, (_statistics_of_history, 'builtins.getattr')]
        torch.serialization.add_safe_globals(
            [*history, arrays._reconstruct, arrays.scalar, np.ndarray, np.dtype, *dtypes]
        )


def _statistics_of_history(owner: Any, name: str) -> Any:
    """Stand in for ``getattr`` in a checkpoint: with all of it, a file could reach any function, and have it called."""
    from mmengine.logging.history_buffer import HistoryBuffer

    if owner is not HistoryBuffer or name not in ('current', 'max', 'mean', 'min'):
        raise pickle.UnpicklingError(f'attribute {name!r} of {owner!r} is none that a checkpoint needs')
    return getattr(owner, name)
