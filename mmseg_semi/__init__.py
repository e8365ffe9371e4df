"""Semi-supervised training for any MMSegmentation segmentor.

Importing the package checks the installed versions and registers every module in the ``mmseg`` scope.
"""

from .compat import check_versions, prepare_mmengine
from .version import __version__

check_versions()
prepare_mmengine()

from . import datasets, engine, evaluation, models, registry, visualization  # noqa: E402

__all__ = ['__version__', 'datasets', 'engine', 'evaluation', 'models', 'registry', 'visualization']
