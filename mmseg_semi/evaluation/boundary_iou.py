"""IoU of what lies near the contours.

Shape letters: C classes, H x W pixels.
"""

import cv2
import numpy as np
import torch
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from torch import Tensor


@METRICS.register_module()
class BoundaryIoUMetric(IoUMetric):
    """Boundary IoU, for semantic segmentation.

    `Cheng et al., CVPR 2021 <https://arxiv.org/abs/2103.16562>`_: with G a class's mask and P its prediction,
    and G_d the pixels no farther than d from G's contour,

        Boundary IoU = |(G_d & G) & (P_d & P)| / |(G_d & G) | (P_d & P)|.

    As in the authors' code, d is ``dilation_ratio`` times the image's diagonal, rounded and at least one pixel,
    distances are those of a chessboard, and where the image ends, so does every mask. So it does at ignored pixels,
    those of the prediction too. Intersections and unions are summed over the dataset, as mIoU sums them, then averaged
    over classes.

    It gives ``mBoundaryIoU`` in percent and prints a table of classes.

    Args:
        dilation_ratio (float): d in parts of the diagonal, in (0, 1). The authors' code has 0.02, and 0.005
            for Cityscapes.
        ignore_index (int): Label of pixels that do not count.
        collect_device (str): Where results of several processes meet, ``'cpu'`` or ``'gpu'``.
        prefix (str, optional): What the names of the results start with.

    Raises:
        ValueError: If ``dilation_ratio`` is out of range.
    """

    def __init__(
        self,
        dilation_ratio: float = 0.02,
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        if not 0 < dilation_ratio < 1:
            raise ValueError(f'BoundaryIoUMetric: dilation_ratio={dilation_ratio} is not between 0 and 1')
        super().__init__(ignore_index=ignore_index, collect_device=collect_device, prefix=prefix)
        self.dilation_ratio = dilation_ratio

    def intersect_and_union(
        self, pred_label: Tensor, label: Tensor, num_classes: int, ignore_index: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Count the pixels of each class's bands.

        Args:
            pred_label (Tensor): (H, W).
            label (Tensor): (H, W).
            num_classes (int): C.
            ignore_index (int): Label of pixels that do not count.

        Returns:
            tuple: Intersection, union, predicted and true band, (C,) each.
        """
        # mmseg leaves out a height or width of one.
        pred_label, label = (np.atleast_2d(pixels.cpu().numpy()) for pixels in (pred_label, label))
        width = max(1, round(self.dilation_ratio * float(np.hypot(*label.shape))))
        known = label != ignore_index
        predicted, true = (
            inner_boundary(np.where(known, mask, num_classes), width, num_classes) for mask in (pred_label, label)
        )
        shared = np.where(predicted == true, true, num_classes)
        intersect, pred_area, true_area = (
            torch.from_numpy(np.bincount(band.ravel(), minlength=num_classes)[:num_classes]).double()
            for band in (shared, predicted, true)
        )
        return intersect, pred_area + true_area - intersect, pred_area, true_area

    @staticmethod
    def total_area_to_metrics(
        total_area_intersect: Tensor, total_area_union: Tensor, *args, **kwargs
    ) -> dict[str, np.ndarray]:
        """Divide intersections by unions; NaN for a class that is nowhere."""
        return dict(BoundaryIoU=(total_area_intersect / total_area_union).numpy())


def inner_boundary(label: np.ndarray, width: int, outside: int) -> np.ndarray:
    """Keep each pixel's label where another one, or the image's end, is near.

    Args:
        label (np.ndarray): (H, W), from 0 to 65535.
        width (int): How many pixels away is near, diagonals included.
        outside (int): Label beyond the image.

    Returns:
        np.ndarray: (H, W) np.uint16, ``outside`` where all labels near are the same.
    """
    padded = cv2.copyMakeBorder(label.astype(np.uint16), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=outside)
    window = np.ones((2 * width + 1, 2 * width + 1), dtype=np.uint8)
    varies = cv2.morphologyEx(padded, cv2.MORPH_GRADIENT, window) > 0
    return np.where(varies, padded, np.uint16(outside))[1:-1, 1:-1]
