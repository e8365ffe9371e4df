import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadUnlabeledImage(LoadImageFromFile):
    """Load an image and follow which of its pixels are real.

    A map of ones takes the place of the annotation, so that every transform of mmseg moves it with the image and marks
    what it fills (padding, corners after a rotation) with its ``seg_pad_val``, 255 or 0. :class:`MultiView` packs it as
    ``valid_map``.

    An annotation is never opened, also where the dataset has some, unless it is asked for: with ``diagnose`` it is a
    true label, which enters the log (accuracy of pseudo labels and the like) and no loss; with ``pseudo_label``, of
    :class:`PseudoLabeledDataset`, a method may learn from it. :class:`MultiView` packs it by that name.

    Required Keys:

    - img_path
    - seg_map_path, reduce_zero_label, label_map (for an annotation): as mmseg's datasets give them

    Added Keys:

    - img, img_shape, ori_shape
    - gt_seg_map (np.uint8): (H, W), 1 where the image shows
    - true_seg_map (np.uint8): (H, W), with ``diagnose``
    - pseudo_seg_map (np.uint8): (H, W), with ``pseudo_label``
    - seg_fields

    Args:
        diagnose (bool): Whether to load true labels for the log. It takes a dataset with annotations as the unlabelled
            part. Defaults to False.
        pseudo_label (bool): Whether to load pseudo labels. Defaults to False.
        **kwargs: See mmcv's ``LoadImageFromFile``.

    Raises:
        ValueError: If both are asked for.
    """

    def __init__(self, diagnose: bool = False, pseudo_label: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        if diagnose and pseudo_label:
            raise ValueError('LoadUnlabeledImage: an annotation is a true label to diagnose with or a pseudo label')
        self.annotation = 'true_seg_map' if diagnose else 'pseudo_seg_map' if pseudo_label else None
        self.load_annotations = LoadAnnotations()

    def transform(self, results: dict) -> dict:
        """Load the image of ``results['img_path']``.

        Raises:
            ValueError: If there is no annotation where one is asked for.
        """
        results = super().transform(results)
        if self.annotation is not None:
            if 'seg_map_path' not in results:
                raise ValueError(
                    'LoadUnlabeledImage(diagnose=True) needs annotations: let the unlabelled part be of the type of '
                    'the labelled one, with its seg_map_path; pseudo_label=True needs a PseudoLabeledDataset'
                )
            results = self.load_annotations(results)
            results[self.annotation] = results.pop('gt_seg_map')
            results['seg_fields'].remove('gt_seg_map')
            results['seg_fields'].append(self.annotation)
        results['gt_seg_map'] = np.ones(results['img'].shape[:2], dtype=np.uint8)
        results['seg_fields'] = [*results.get('seg_fields', []), 'gt_seg_map']
        return results
