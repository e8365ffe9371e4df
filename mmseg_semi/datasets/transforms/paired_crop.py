import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PairedRandomCrop(BaseTransform):
    """Cut two overlapping crops out of one image, for two views that show the same pixels in different contexts.

    `Semi-supervised Semantic Segmentation with Directional Context-aware Consistency
    <https://arxiv.org/abs/2106.14133>`_, section 3.2. The pair is drawn uniformly from all pairs of places whose IoU
    lies in the range. Places are multiples of the feature stride, so that a feature cell of the overlap shows the same
    pixels in both crops. It is the last shared step: :class:`MultiView`, with two views, gives each its crop.

    An image smaller than a crop is padded to its size at the bottom and on the right. If it is too small for the range,
    the crops get the nearest IoU that it allows.

    Required Keys:

    - img
    - gt_seg_map (np.uint8): (H, W), as :class:`LoadUnlabeledImage` makes it
    - true_seg_map, pseudo_seg_map (np.uint8, optional): likewise

    Added Keys:

    - crops (list[dict]): for each of the two crops, what replaces or joins the keys of the image:

      - img, gt_seg_map, true_seg_map, pseudo_seg_map, img_shape
      - flip, flip_direction: of the crop itself, which is not flipped yet
      - crop_offset (tuple[int, int]): its top and left in the image
      - overlap (tuple[int, int, int, int]): top, left, bottom and right, in pixels of the crop before any flip, of what
        the other crop shows as well. It holds no padding, and its sides are multiples of the stride
      - crop_iou (float): IoU of the crops
      - iou_in_range (bool): False where the image is too small for the range

    Args:
        crop_size (int | tuple[int, int]): Height and width of a crop.
        stride (int): Pixels of a feature cell's side; it divides the crop. Defaults to 8.
        iou_range (tuple[float, float]): Least and largest IoU, in [0, 1]. (1, 1) takes the same crop twice. Defaults to
            (0.1, 1.0).
        pad_val (float | tuple[float, ...]): What padding writes into the image. Defaults to 0.

    Raises:
        ValueError: If the stride does not divide the crop, or if no image allows an IoU in the range.
    """

    def __init__(
        self,
        crop_size: int | tuple[int, int],
        stride: int = 8,
        iou_range: tuple[float, float] = (0.1, 1.0),
        pad_val: float | tuple[float, ...] = 0,
    ) -> None:
        self.crop_size = (crop_size, crop_size) if isinstance(crop_size, int) else tuple(crop_size)
        self.stride = stride
        self.iou_range = tuple(iou_range)
        self.pad_val = pad_val
        if stride < 1 or min(self.crop_size) < 1 or any(side % stride for side in self.crop_size):
            raise ValueError(f'PairedRandomCrop: stride={stride} does not divide crop_size={self.crop_size}')
        if not 0 <= self.iou_range[0] <= self.iou_range[1] <= 1:
            raise ValueError(f'PairedRandomCrop: iou_range={iou_range} is no range in [0, 1]')
        _, iou, missed = self._shifts((np.inf, np.inf))
        if missed.min() > 0:
            raise ValueError(
                f'PairedRandomCrop: no two crops of {self.crop_size} pixels at multiples of {stride} have an IoU in '
                f'iou_range={iou_range}; the nearest is {iou.flat[missed.argmin()]:.3f}'
            )

    def transform(self, results: dict) -> dict:
        """Add ``crops``.

        Raises:
            ValueError: If ``pad_val`` is of another number of channels.
        """
        size, shown = np.array(self.crop_size), np.array(results['img'].shape[:2])
        padded = tuple(np.maximum(size, shown).tolist())
        channels = results['img'].shape[2] if results['img'].ndim > 2 else 1
        if np.size(self.pad_val) not in (1, channels):
            raise ValueError(
                f'PairedRandomCrop: pad_val={self.pad_val}, but images have {channels} channels: set it to 0'
            )
        image = mmcv.impad(results['img'], shape=padded, pad_val=self.pad_val)
        maps = {
            key: mmcv.impad(results[key], shape=padded, pad_val=255)
            for key in ('gt_seg_map', 'true_seg_map', 'pseudo_seg_map')
            if key in results
        }

        cells, iou, in_range = self._draw((padded - size) // self.stride)
        offsets = cells * self.stride
        top_left = offsets.max(axis=0)
        bottom_right = np.minimum(offsets.min(axis=0) + size, shown // self.stride * self.stride)
        overlap = np.stack([top_left, np.maximum(top_left, bottom_right)])
        results['crops'] = [
            dict(
                img=image[top : top + size[0], left : left + size[1]],
                **{key: pixels[top : top + size[0], left : left + size[1]] for key, pixels in maps.items()},
                img_shape=self.crop_size,
                flip=False,
                flip_direction=None,
                crop_offset=(top, left),
                overlap=tuple((overlap - (top, left)).flatten().tolist()),
                crop_iou=iou,
                iou_in_range=in_range,
            )
            for top, left in offsets.tolist()
        ]
        return results

    def _shifts(self, most: tuple[float, float]) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """List by how many cells the second crop may lie off the first, where they still overlap.

        Args:
            most (tuple[float, float]): Cells that the image leaves for it, downwards and to the right.

        Returns:
            tuple: (Y, 1) and (1, X) shifts, (Y, X) IoU, and (Y, X) distance of the IoU from the range.
        """
        most = np.minimum(most, np.array(self.crop_size) // self.stride - 1).astype(int)
        shifts = np.ogrid[tuple(slice(-reach, reach + 1) for reach in most)]
        height, width = (side - self.stride * abs(shift) for side, shift in zip(self.crop_size, shifts, strict=True))
        iou = height * width / (2 * np.prod(self.crop_size) - height * width)
        return shifts, iou, np.maximum(self.iou_range[0] - iou, iou - self.iou_range[1]).clip(min=0)

    def _draw(self, room: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """Draw two places for a crop.

        Args:
            room (np.ndarray): (2,), the last place downwards and to the right, in cells.

        Returns:
            tuple: (2, 2) places in cells, first and second crop by down and right, their IoU, and whether it is in the
            range.
        """
        shifts, iou, missed = self._shifts(room)
        # Each shift is drawn as often as there are places for it, which makes every pair of places equally likely.
        places = (room[0] + 1 - abs(shifts[0])) * (room[1] + 1 - abs(shifts[1])) * (missed == missed.min())
        drawn = np.random.choice(places.size, p=places.flatten() / places.sum())
        shift = np.array([np.broadcast_to(axis, iou.shape).flat[drawn] for axis in shifts])
        first = np.random.randint(np.maximum(-shift, 0), np.minimum(room - shift, room) + 1)
        return np.stack([first, first + shift]), float(iou.flat[drawn]), bool(missed.flat[drawn] == 0)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(crop_size={self.crop_size}, stride={self.stride}, iou_range={self.iou_range}, '
            f'pad_val={self.pad_val})'
        )
