from collections.abc import Sequence

from mmengine.structures import PixelData
from mmseg.models.segmentors import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor


@MODELS.register_module()
class ProbabilisticSegTTAModel(SegTTAModel):
    """Test-time augmentation whose predictions say how sure they are.

    mmseg's own averages the views' probabilities too, but leaves the last view's ``seg_logits`` in the result, and
    applies the sigmoid of a binary head a second time. Here ``seg_logits`` mean what they mean without augmentation:
    their softmax is the average of the views' softmax, (C, H, W); of a binary head they are the average of the
    views' probabilities, (1, H, W), in [0, 1].
    """

    def merge_preds(self, data_samples_list: Sequence[Sequence[SegDataSample]]) -> list[SegDataSample]:
        """Average the views of each image.

        Args:
            data_samples_list (Sequence[Sequence[SegDataSample]]): Predictions of each image's views.

        Returns:
            list[SegDataSample]: One prediction an image, with ``pred_sem_seg`` and ``seg_logits``.
        """
        return [self._merge(views) for views in data_samples_list]

    def _merge(self, views: Sequence[SegDataSample]) -> SegDataSample:
        prob = sum(_probability(view.seg_logits.data) for view in views) / len(views)
        if len(prob) == 1:
            logits, label = prob, (prob > self.module.decode_head.threshold).to(prob)
        else:
            logits, label = prob.log(), prob.argmax(dim=0, keepdim=True)
        merged = views[0]
        merged.set_data(dict(seg_logits=PixelData(data=logits), pred_sem_seg=PixelData(data=label)))
        return merged


def _probability(seg_logits: Tensor) -> Tensor:
    return seg_logits if len(seg_logits) == 1 else seg_logits.softmax(dim=0)
