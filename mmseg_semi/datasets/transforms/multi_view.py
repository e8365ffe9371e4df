import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

# What a model must know, whatever else is packed: how the pixels of crops match, and what is left to the device.
_META_KEYS = ('crop_offset', 'overlap', 'flip_direction', 'crop_iou', 'iou_in_range', 'photometric')


@TRANSFORMS.register_module()
class MultiView(BaseTransform):
    """Make several views of one image and pack them; the last transform of an unlabelled pipeline.

    What was drawn before is shared by the views, so geometry belongs there and the views' own pipelines hold what may
    differ between pixels that must match. A CutMix region is shared or the view's own, after where it is drawn. After
    :class:`PairedRandomCrop` each view starts from its own crop, and its pipeline may flip it as well.

    Required Keys:

    - img, img_shape, ori_shape, img_path
    - gt_seg_map (optional): as :class:`LoadUnlabeledImage` makes it, packed as ``valid_map``
    - true_seg_map, pseudo_seg_map (optional): likewise, packed as ``true_label`` and ``pseudo_label``
    - cutmix_region (optional)
    - crops (optional): as :class:`PairedRandomCrop` makes them, one a view in the order of the views

    Args:
        meta_keys (Sequence[str], optional): As in mmseg's ``PackSegInputs``. What a crop says of itself, and what
            ``StrongPhotometric(on_device=True)`` draws, is packed too.
        **views (list[dict]): Name of a view to its pipeline; an empty one shows the image as it is.

    Returns:
        dict: ``inputs`` from view to image tensor, ``data_samples`` from view to :obj:`SegDataSample`.

    Raises:
        ValueError: If there is no view, or another number of them than of crops, or if a map and its image differ in
            size.
    """

    def __init__(self, meta_keys=None, **views: list[dict]) -> None:
        if not views:
            raise ValueError('MultiView needs at least one view, such as weak=[], strong=[...]')
        self.views = {name: Compose(pipeline) for name, pipeline in views.items()}
        self.pack = PackSegInputs(**({} if meta_keys is None else dict(meta_keys=meta_keys)))
        self.pack.meta_keys = (*self.pack.meta_keys, *_META_KEYS)

    def transform(self, results: dict) -> dict:
        """Run each view's pipeline on a copy of the image, or on its crop."""
        packed = dict(inputs={}, data_samples={})
        results['img'] = np.ascontiguousarray(results['img'])  # a flipped one is slow to copy
        shared = {key: results.pop(key, None) for key in ('gt_seg_map', 'true_seg_map', 'pseudo_seg_map')}
        crops = results.pop('crops', [{}] * len(self.views))
        if len(crops) != len(self.views):
            raise ValueError(f'MultiView: the pipeline makes {len(crops)} crops for the views {list(self.views)}')
        for (name, pipeline), crop in zip(self.views.items(), crops, strict=True):
            view = {**results, **crop}
            view = pipeline({**view, 'img': view['img'].copy()})
            own = {key: view.pop(key, pixels) for key, pixels in shared.items()}
            maps = dict(
                valid_map=own['gt_seg_map'],
                true_label=own['true_seg_map'],
                pseudo_label=own['pseudo_seg_map'],
                cutmix_region=view.get('cutmix_region'),
            )
            sample = self.pack(view)
            for key, pixels in maps.items():
                if pixels is None:
                    continue
                if pixels.shape[:2] != view['img'].shape[:2]:
                    raise ValueError(
                        f'MultiView: the image measures {view["img"].shape[:2]}, but its {key} {pixels.shape[:2]}: a '
                        'transform changed the image alone. In place of CenterCrop and Pad, crop with RandomCrop and '
                        "let the data preprocessor's size pad"
                    )
                data = torch.from_numpy(np.ascontiguousarray(pixels))[None]
                sample['data_samples'].set_data({key: PixelData(data=data)})
            packed['inputs'][name] = sample['inputs']
            packed['data_samples'][name] = sample['data_samples']
        return packed

    def __repr__(self) -> str:
        return f'{type(self).__name__}({", ".join(f"{name}={view}" for name, view in self.views.items())})'
