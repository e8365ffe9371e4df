import numpy as np
from mmseg.datasets.transforms import RandomCrop
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ClassUniformCrop(RandomCrop):
    """Crop at random, but around the place that class-uniform sampling asks for, where it does.

    It comes after resizing and before flips and rotations. Arguments are those of mmseg's ``RandomCrop``.

    Required Keys:

    - img, img_shape, ori_shape, gt_seg_map
    - class_place (optional): (y, x) in the pixels of the file, added by :class:`SemiDataset`

    Modified Keys:

    - img, img_shape, gt_seg_map
    """

    def crop_bbox(self, results: dict) -> tuple[int, int, int, int]:
        """Draw top, bottom, left and right of the crop."""
        place = results.get('class_place')
        if place is None:
            return super().crop_bbox(results)
        box = []
        sizes = zip(place, results['img_shape'], results['ori_shape'], self.crop_size, strict=False)
        for position, size, original, crop in sizes:
            position = min(position * size // original, size - 1)
            start = np.random.randint(position - crop + 1, position + 1)
            start = min(max(start, 0), max(size - crop, 0))
            box += [start, start + crop]
        return tuple(box)
