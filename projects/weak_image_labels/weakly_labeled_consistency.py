import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_semi.datasets.conversion import IGNORED
from mmseg_semi.models import ContextAwareConsistency, ExtraClassifier, UnlabeledViews
from mmseg_semi.models.features import last_head
from mmseg_semi.models.views import View


@MODELS.register_module()
class WeaklyLabeledConsistency(ContextAwareConsistency):
    r"""Context-aware consistency that also learns coarse pseudo labels of its unlabelled images.

    `Lai et al., CVPR 2021 <https://arxiv.org/abs/2106.14133>`_, section 3.5. An extra classifier, on the features that
    the main one is given, takes the loss of pseudo labels such as class activation maps:

    .. math:: L_w = \frac12 (CE(\mathcal{C}_w(f_{u1}), y_p) + CE(\mathcal{C}_w(f_{u2}), y_p)) \qquad (11)

    It is not used at inference, and exported checkpoints have none of it.

    Views: as in :class:`ContextAwareConsistency`, of images that ``LoadUnlabeledImage(pseudo_label=True)`` loads.

    Args:
        weak_loss (dict, optional): Config of the cross entropy. Its weight defaults to 0.4, the ``weakly_loss_w`` of
            the code of `Ouali et al., CVPR 2020 <https://arxiv.org/abs/2003.09005>`_. As there, it follows the start
            and the ramp-up of the other unsupervised losses.
        **kwargs: See :class:`ContextAwareConsistency`.
    """

    def __init__(self, *args, weak_loss: dict | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        head = last_head(self.student)
        with self.own_heads():
            self.weak_classifier = ExtraClassifier(
                head.conv_seg.in_channels, head.num_classes, head.dropout_ratio, head.align_corners
            )
        default = dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=0.4, loss_name='loss_weak')
        self.weak_loss = MODELS.build(weak_loss or default)

    def check_views(self, views: UnlabeledViews) -> None:
        """See whether there are pseudo labels too."""
        super().check_views(views)
        for view in (views.crop1, views.crop2):
            self.pseudo_label(view)

    def loss_unlabeled(self, views: UnlabeledViews) -> dict[str, Tensor]:
        """Compute the weighted terms of equation 10 that concern unlabelled images."""
        feature = self.features(views)
        return {**self.loss_context(views, feature), **self.loss_weak_labels(views, feature)}

    def loss_weak_labels(self, views: UnlabeledViews, feature: Tensor) -> dict[str, Tensor]:
        """Compute equation 11 from features, (2B, channels, h, w), of the first and of the second crops."""
        losses = []
        for view, own in zip((views.crop1, views.crop2), feature.chunk(2), strict=True):
            label = self.pseudo_label(view)
            logits = self.weak_classifier(own, label.shape[1:])
            losses.append(self.weak_loss(logits, label, ignore_index=IGNORED))
        return {self.weak_loss.loss_name: sum(losses) / 2}

    @staticmethod
    def pseudo_label(view: View) -> Tensor:
        """Give the pseudo labels of a view, (B, H, W) int64.

        Raises:
            ValueError: If the pipeline has loaded none.
        """
        if not all('pseudo_label' in sample for sample in view.data_samples):
            raise ValueError(
                'WeaklyLabeledConsistency: unlabelled images come without pseudo labels: use a PseudoLabeledDataset '
                'and LoadUnlabeledImage(pseudo_label=True)'
            )
        return torch.cat([sample.pseudo_label.data for sample in view.data_samples]).long()
