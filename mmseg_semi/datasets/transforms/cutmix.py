import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomCutMixRegion(BaseTransform):
    """Draw where boxes of a partner image will be pasted (CutMix).

    Boxes have random relative sizes, aspects and positions; one common scale then makes their union cover the asked
    share of the image. They lie in the image as a whole, and later boxes lie over earlier ones. Kim et al.,
    Structured Consistency Loss for Semi-Supervised Semantic Segmentation, 2020, section 3.1: 32 boxes, about half.

    Required Keys:

    - img_shape

    Added Keys:

    - cutmix_region (np.uint8): (H, W), n where the n-th box shows, 0 elsewhere

    Args:
        num_boxes (int): From 1 to 255.
        area (float | tuple[float, float]): Share of the image that is covered, or the range that it is drawn from, in
            (0, 1].
        aspect_ratio (tuple[float, float]): Range of a box's height over width, relative to that of the image;
            drawn so that a ratio and its inverse are as likely.
        prob (float): Probability of pasting anything, in [0, 1].

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        num_boxes: int = 32,
        area: float | tuple[float, float] = 0.5,
        aspect_ratio: tuple[float, float] = (0.5, 2.0),
        prob: float = 1.0,
    ) -> None:
        self.area = (area, area) if isinstance(area, (int, float)) else tuple(area)
        if not 1 <= num_boxes <= 255:
            raise ValueError(f'RandomCutMixRegion: num_boxes={num_boxes} is not in [1, 255]')
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f'RandomCutMixRegion: area={area} is no share, or range of shares, in (0, 1]')
        if not 0 < aspect_ratio[0] <= aspect_ratio[1]:
            raise ValueError(f'RandomCutMixRegion: aspect_ratio={aspect_ratio} is no range of positive numbers')
        if not 0 <= prob <= 1:
            raise ValueError(f'RandomCutMixRegion: prob={prob} is not in [0, 1]')
        self.num_boxes = num_boxes
        self.log_aspect = np.log(aspect_ratio)
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Add ``cutmix_region``."""
        shape = results['img_shape'][:2]
        region = np.zeros(shape, dtype=np.uint8)
        if np.random.random() < self.prob:
            for n, (top, bottom, left, right) in enumerate(self._draw_boxes(shape), start=1):
                region[top:bottom, left:right] = n
        results['cutmix_region'] = region
        return results

    def _draw_boxes(self, shape: tuple[int, int]) -> np.ndarray:
        """Draw boxes, (num_boxes, 4) of top, bottom, left, right, whose union has the asked area."""
        share = np.random.uniform(*self.area)
        aspect = np.exp(np.random.uniform(*self.log_aspect, self.num_boxes))
        side = np.sqrt(np.random.uniform(0.2, 1.0, self.num_boxes))
        sides = np.stack([side * np.sqrt(aspect), side / np.sqrt(aspect)], axis=1)
        position = np.random.random((self.num_boxes, 2))

        def place(scale: float) -> np.ndarray:
            size = np.clip(np.rint(scale * sides * shape), 0, shape)
            start = np.rint(position * (shape - size))
            return np.stack([start, start + size], axis=2).reshape(-1, 4).astype(int)

        def covered(boxes: np.ndarray) -> float:
            mask = np.zeros(shape, dtype=bool)
            for top, bottom, left, right in boxes:
                mask[top:bottom, left:right] = True
            return max(np.count_nonzero(mask), 1) / mask.size

        # Where boxes neither overlap nor fill a side, the covered share is the squared scale times a constant, and the
        # first scale is right. It grows more slowly otherwise, so that each step comes closer.
        scale, best, error = np.sqrt(share / sides.prod(axis=1).sum()), None, np.inf
        while True:
            boxes = place(scale)
            area = covered(boxes)
            if abs(area - share) >= error:
                return best
            best, error = boxes, abs(area - share)
            scale *= np.sqrt(share / area)

    def __repr__(self) -> str:
        aspect_ratio = tuple(np.exp(self.log_aspect).round(3).tolist())
        return (
            f'{type(self).__name__}(num_boxes={self.num_boxes}, area={self.area}, '
            f'aspect_ratio={aspect_ratio}, prob={self.prob})'
        )
