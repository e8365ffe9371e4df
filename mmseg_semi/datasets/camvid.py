from collections.abc import Sequence

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .semi_dataset import is_comment


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """CamVid with the 11 classes that are customary in segmentation papers.

    Images are JPEG, annotations PNG with ids 0 to 10; id 11, unlabelled, is read as 255 and ignored. Lines of comment
    in lists are skipped, as ``make_splits.py`` writes them. `Brostow et al., Semantic object classes in video: a
    high-definition ground truth database, Pattern Recognition Letters 2009
    <https://doi.org/10.1016/j.patrec.2008.04.005>`_.
    """

    METAINFO = dict(
        classes=(
            'sky', 'building', 'pole', 'road', 'sidewalk', 'tree', 'sign', 'fence', 'car', 'pedestrian', 'bicyclist',
        ),
        palette=[
            [128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [0, 0, 192], [128, 128, 0],
            [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0], [0, 128, 192],
        ],
    )  # fmt: skip

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int]:
        """Map old ids to new ones, with id 11 to 255, the id that mmseg ignores."""
        return {**(super().get_label_map(new_classes) or {}), 11: 255}

    def load_data_list(self) -> list[dict]:
        """List the images, without lines of comment."""
        return [info for info in super().load_data_list() if not is_comment(info['img_path'], self)]
