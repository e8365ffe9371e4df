from collections import defaultdict
from typing import Any

from mmengine.registry import FUNCTIONS


@FUNCTIONS.register_module()
def semi_collate(batch: list[dict[str, dict[str, Any]]], _scope_: str | None = None) -> dict[str, dict[str, list]]:
    """Gather the samples of :class:`SemiDataset` view by view.

    Args:
        batch (list[dict]): Samples with ``inputs`` and ``data_samples``, each a dict with one entry a view. Samples
            need not have the same views.
        _scope_ (str, optional): Not used; mmengine hands it over with a config that inherits from ``mmseg_semi::``.

    Returns:
        dict[str, dict[str, list]]: ``inputs`` and ``data_samples``, each a dict from view to list.
    """
    collated = dict(inputs=defaultdict(list), data_samples=defaultdict(list))
    for sample in batch:
        for key, views in collated.items():
            for view, value in sample[key].items():
                views[view].append(value)
    return {key: dict(views) for key, views in collated.items()}
