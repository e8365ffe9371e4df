import mmcv
import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

# Maps that travel with an image, and what they are packed as.
_MAPS = dict(
    gt_seg_map='valid_map', true_seg_map='true_label', pseudo_seg_map='pseudo_label', cutmix_region='cutmix_region',
)  # fmt: skip

# What a model must know, whatever else is packed: how the pixels of crops match, and what is left to the device.
_META_KEYS = ('crop_offset', 'overlap', 'flip_direction', 'crop_iou', 'iou_in_range', 'photometric')


@TRANSFORMS.register_module()
class MultiView(BaseTransform):
    """Make several views of one image and pack them; the last transform of an unlabelled pipeline.

    What was drawn before is shared by the views, so geometry belongs there and the views' own pipelines hold what may
    differ between pixels that must match. A CutMix region is shared or the view's own, after where it is drawn. After
    :class:`PairedRandomCrop` each view starts from its own crop, and its pipeline may flip it once as well.

    Required Keys:

    - img, img_shape, ori_shape, img_path
    - gt_seg_map (optional): as :class:`LoadUnlabeledImage` makes it, packed as ``valid_map``, which is 0
      where the image shows and 255 elsewhere
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
        ValueError: If there is no view, or another number of them than of crops, if a map and its image differ in
            size, or if a view's pipeline moves pixels in another way than by one flip of its crop.
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
        shared = {key: results.pop(key) for key in _MAPS if key in results}
        crops = results.pop('crops', None)
        if crops is not None and len(crops) != len(self.views):
            raise ValueError(f'MultiView: the pipeline makes {len(crops)} crops for the views {list(self.views)}')
        for name, crop in zip(self.views, crops or [None] * len(self.views), strict=True):
            view = self._run(name, results, crop)
            maps = {field: view.pop(key, shared.get(key)) for key, field in _MAPS.items()}
            sample = self.pack(view)
            for field, pixels in maps.items():
                if pixels is None:
                    continue
                if pixels.shape[:2] != view['img'].shape[:2]:
                    raise ValueError(
                        f'MultiView: the image measures {view["img"].shape[:2]}, but its {field} {pixels.shape[:2]}: a '
                        'transform changed the image alone. In place of CenterCrop and Pad, crop with RandomCrop and '
                        "let the data preprocessor's size pad"
                    )
                if field == 'valid_map':
                    pixels = np.uint8(255) * (pixels != 1)
                data = torch.from_numpy(np.ascontiguousarray(pixels))[None]
                sample['data_samples'].set_data({field: PixelData(data=data)})
            packed['inputs'][name] = sample['inputs']
            packed['data_samples'][name] = sample['data_samples']
        return packed

    def _run(self, name: str, results: dict, crop: dict | None) -> dict:
        """Run a view's pipeline, and see that pixels stay where they are, or where the flip of a crop takes them."""
        view = {**results, **(crop or {})}
        size = view['img'].shape[:2]
        place = np.arange(np.prod(size), dtype=np.float32).reshape(size)
        fields = [key for key in view.get('seg_fields', ()) if key in view]
        view = self.views[name]({**view, 'img': view['img'].copy(), 'place': place, 'seg_fields': [*fields, 'place']})
        moved = view.pop('place')
        if crop and view['flip_direction']:
            place = mmcv.imflip(place, view['flip_direction'])
        shown = view.get('gt_seg_map', np.ones(size, dtype=np.uint8))
        moved, place, shown = (pixels[::8, ::8] for pixels in (moved, place, shown))  # enough to tell
        if not (moved.shape == place.shape == shown.shape and (moved == place)[shown == 1].all()):
            raise ValueError(
                f'MultiView: the pipeline of the view {name!r} moves pixels, which nothing else follows: put geometry '
                'before MultiView, where all views share it; after PairedRandomCrop a view may have one RandomFlip, '
                'whose direction may be a list'
            )
        return view

    def __repr__(self) -> str:
        return f'{type(self).__name__}({", ".join(f"{name}={view}" for name, view in self.views.items())})'
