import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadUnlabeledImage(LoadImageFromFile):
    """Load an image and follow which of its pixels are real.

    A map of zeros takes the place of the annotation, so that every transform of mmseg moves it with the image and marks
    what it fills (padding, corners after a rotation) with its ``seg_pad_val``, 255. :class:`MultiView` packs it as
    ``valid_map``.

    Required Keys:

    - img_path

    Added Keys:

    - img, img_shape, ori_shape
    - gt_seg_map (np.uint8): (H, W), 0 where the image shows
    - seg_fields
    """

    def transform(self, results: dict) -> dict:
        """Load the image of ``results['img_path']``."""
        results = super().transform(results)
        results['gt_seg_map'] = np.zeros(results['img'].shape[:2], dtype=np.uint8)
        results['seg_fields'] = [*results.get('seg_fields', []), 'gt_seg_map']
        return results
