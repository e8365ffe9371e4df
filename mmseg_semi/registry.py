"""mmseg's registries under the scope ``mmseg_semi``, that of what a config inherits from ``mmseg_semi::``.

All modules of this package are registered in mmseg's own.
"""

import mmseg.registry
from mmengine.registry import Registry

for registry in list(vars(mmseg.registry).values()):
    if isinstance(registry, Registry):
        registry.import_from_location()  # a child looks into its parent, but lets it import nothing
        Registry(registry.name, parent=registry, scope='mmseg_semi', locations=['mmseg_semi'])
