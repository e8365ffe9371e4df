import torch
from mmcv.transforms import BaseTransform, Compose
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class MultiView(BaseTransform):
    """Make several views of one image and pack them; the last transform of an unlabelled pipeline.

    What was drawn before is shared by the views, so geometry belongs there and the views' own pipelines hold what may
    differ between pixels that must match. A CutMix region is shared or the view's own, after where it is drawn.

    Required Keys:

    - img, img_shape, ori_shape, img_path
    - gt_seg_map (optional): as :class:`LoadUnlabeledImage` makes it, packed as ``valid_map``
    - true_seg_map (optional): likewise, packed as ``true_label``
    - cutmix_region (optional)

    Args:
        meta_keys (Sequence[str], optional): As in mmseg's ``PackSegInputs``.
        **views (list[dict]): Name of a view to its pipeline; an empty one shows the image as it is.

    Returns:
        dict: ``inputs`` from view to image tensor, ``data_samples`` from view to :obj:`SegDataSample`.
    """

    def __init__(self, meta_keys=None, **views: list[dict]) -> None:
        if not views:
            raise ValueError('MultiView needs at least one view, such as weak=[], strong=[...]')
        self.views = {name: Compose(pipeline) for name, pipeline in views.items()}
        self.pack = PackSegInputs(**({} if meta_keys is None else dict(meta_keys=meta_keys)))

    def transform(self, results: dict) -> dict:
        """Run each view's pipeline on a copy of the image."""
        packed = dict(inputs={}, data_samples={})
        shared = dict(valid_map=results.pop('gt_seg_map', None), true_label=results.pop('true_seg_map', None))
        for name, pipeline in self.views.items():
            view = pipeline({**results, 'img': results['img'].copy()})
            sample = self.pack(view)
            for key, pixels in dict(shared, cutmix_region=view.get('cutmix_region')).items():
                if pixels is not None:
                    data = torch.from_numpy(pixels.copy()).long()[None]
                    sample['data_samples'].set_data({key: PixelData(data=data)})
            packed['inputs'][name] = sample['inputs']
            packed['data_samples'][name] = sample['data_samples']
        return packed

    def __repr__(self) -> str:
        return f'{type(self).__name__}({", ".join(f"{name}={view}" for name, view in self.views.items())})'
