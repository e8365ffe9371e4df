import torch
import torch.nn.functional as F
from mmengine.dist import get_dist_info
from mmseg.registry import MODELS
from torch import Tensor

from ..features import classifier, features_before_classifier, pool_to_stride
from ..heads import MemoryBank, gather_rows
from ..overlap import cell_ids, overlap_cells
from ..prediction import Target, with_two_channels
from ..views import UnlabeledViews, View
from .semi_segmentor import SemiSegmentor, eval_mode, test_outputs


@MODELS.register_module()
class ContextAwareConsistency(SemiSegmentor):
    """Features of a pixel agree in two crops that show it in different contexts.

    `Lai et al., Semi-supervised Semantic Segmentation with Directional Context-aware Consistency, CVPR 2021
    <https://arxiv.org/abs/2106.14133>`_, equation 9. The features just before the classifier of the student's decode
    head are projected; in the overlap of the crops, the less confident of two features is drawn to the other and away
    from features of other pseudo labels, of this batch on all ranks and of previous ones. Projector and memory bank
    serve training alone.

    Views: ``crop1`` and ``crop2``, as :class:`PairedRandomCrop` and :class:`MultiView` make them.

    Logs: ``active_anchors``, the share of features of the overlap that are moved; ``confidence``, the mean over cells
    that show the image alone; ``iou_out_of_range``, the number of images that are too small for the range of the crops;
    and, where true labels are known, ``negative_precision``, the share of pairs of an anchor and a negative of this
    batch that truly are of two classes (Fig. 6).

    Rows of Table 3 are switches: ``projector=None``; ``iou_range=(1.0, 1.0)`` of the crops for no context;
    ``contrast=dict(type='FeatureL2Loss')``; ``directional=False``, ``negative_sampling=False`` and
    ``pos_threshold=0.0`` of the contrast.

    Args:
        stride (int): Pixels of a feature cell's side. Finer features are average-pooled to it, as those of DeepLabv3+
            are in the paper. It is also the stride of the crops. Defaults to 8.
        projector (dict, optional): Config of the projector; ``in_channels`` is filled in. None compares the features
            as they are. Defaults to ``dict(type='Projector')``.
        contrast (dict, optional): Config of the loss. Defaults to the paper's, of weight 0.1.
        num_negatives (int): Most negatives of an anchor (Table 4). Defaults to 19200.
        new_negatives (int): How many of them the present batch gives, on all ranks together; the others come from the
            memory bank. Defaults to 6400.
        **kwargs: See :class:`SemiSegmentor`, without ``ema_teacher``: pseudo labels are the student's own. The paper
            trains on the labels alone for the first 5 of 80 epochs: set ``unsup_start``.

    Raises:
        ValueError: If the decode head has no classifier ``conv_seg``, the projector does not fit it, or a number is
            not positive.
    """

    view_names = ('crop1', 'crop2')

    def __init__(
        self,
        *args,
        stride: int = 8,
        projector: dict | None = dict(type='Projector'),  # noqa: B006
        contrast: dict | None = None,
        num_negatives: int = 19200,
        new_negatives: int = 6400,
        **kwargs,
    ) -> None:
        super().__init__(*args, ema_teacher=False, **kwargs)
        if min(stride, num_negatives, new_negatives) < 1:
            raise ValueError('ContextAwareConsistency: stride, num_negatives and new_negatives must be positive')
        self.stride = stride
        self.contrast = MODELS.build(contrast or dict(type='DirectionalContrastiveLoss', loss_weight=0.1))
        channels = classifier(self.student).in_channels
        if projector is not None:
            given = projector.get('in_channels', channels)
            if given != channels:
                raise ValueError(
                    f"ContextAwareConsistency: the projector has in_channels={given}, but the decode head's classifier "
                    f'takes {channels} channels: leave in_channels out'
                )
            with self.own_heads():
                self.projector = MODELS.build({**projector, 'in_channels': channels})
            channels = self.projector.out_channels
        else:
            self.projector = None
        self.new_negatives = min(new_negatives, num_negatives)
        self.bank = MemoryBank(num_negatives - self.new_negatives, channels) if num_negatives > new_negatives else None

    def loss_unlabeled(self, views: UnlabeledViews) -> dict[str, Tensor]:
        """Compute both directions of the loss (equations 6 and 8)."""
        return self.loss_context(views, self.features(views))

    @torch.no_grad()
    def check_views(self, views: UnlabeledViews) -> None:
        """See whether features have cells of the stride that can be paired, before a late iteration would."""
        super().check_views(views)
        overlap_cells(views.crop1.data_samples, views.crop2.data_samples, self.stride)
        self.cells(views)
        with eval_mode(self.student):
            self.embed(self.features(views), views.crop1.image.shape[2:])

    def features(self, views: UnlabeledViews) -> Tensor:
        """Give what the student's classifier sees, (2B, channels, H', W'), of the first and of the second crops."""
        with test_outputs(self.student):
            return features_before_classifier(self.student, torch.cat([views.crop1.image, views.crop2.image]))

    def loss_context(self, views: UnlabeledViews, feature: Tensor) -> dict[str, Tensor]:
        """Compute the loss of the :meth:`features` of the crops."""
        phi, label, confidence = self.embed(feature, views.crop1.image.shape[2:])
        images = len(views.crop1.image)
        (b, y, x), (_, v, u) = overlap_cells(views.crop1.data_samples, views.crop2.data_samples, self.stride)
        one, two = (b, y, x), (b + images, v, u)
        place, shown, true_label = self.cells(views)
        negatives = self.negatives(phi, label, place, shown)

        losses = [
            self.contrast(phi[own], phi[other].detach(), confidence[own], confidence[other], label[own], *negatives[:2],
                          anchor_id=place[own], negative_id=negatives[2])
            for own, other in ((one, two), (two, one))
        ]  # fmt: skip
        missed = sum(not sample.iou_in_range for sample in views.crop1.data_samples)
        return {
            self.contrast.loss_name: sum(losses),
            **self.statistics(label, confidence, true_label, shown, one, two),
            'iou_out_of_range': phi.new_tensor(missed),
        }

    def embed(self, feature: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Project the student's features, and classify them.

        Args:
            feature (Tensor): (B, channels, H', W'), see :meth:`features`.
            size (tuple[int, int]): Height and width of the images.

        Returns:
            tuple[Tensor, Tensor, Tensor]: (B, h, w, D) features of the cells, (B, h, w) pseudo labels and their
            confidence in [0, 1], both without gradient.

        Raises:
            ValueError: If the features have no cells of the stride.
        """
        feature = pool_to_stride(feature, size, self.stride)
        with torch.no_grad():
            logits = with_two_channels(classifier(self.student)(feature))
            confidence, label = logits.float().softmax(dim=1).max(dim=1)
        phi = feature if self.projector is None else self.projector(feature)
        return phi.permute(0, 2, 3, 1), label, confidence

    def cells(self, views: UnlabeledViews) -> tuple[Tensor, Tensor, Tensor]:
        """Tell of every cell of both crops what it shows.

        Returns:
            tuple[Tensor, Tensor, Tensor]: (2B, h, w) ids of places, True where a cell shows the image alone, and true
            labels, 255 or another id of no class where they are not known.
        """
        images, rank = len(views.crop1.image), get_dist_info()[0]

        def of(view: View) -> tuple[Tensor, Tensor, Tensor]:
            crop, size = view.data_samples[0].img_shape, view.image.shape[2:]
            if tuple(crop) != tuple(size):
                raise ValueError(
                    f'ContextAwareConsistency: crops of {tuple(crop)} pixels are padded to {tuple(size)}: let the '
                    "crop_size of PairedRandomCrop and the data preprocessor's size agree"
                )
            filled = F.max_pool2d((~view.valid[:, None]).float(), self.stride)[:, 0]
            true_label = torch.full_like(view.region, 255) if view.true_label is None else view.true_label
            centre = slice(self.stride // 2, None, self.stride)
            return (
                cell_ids(view.data_samples, self.stride, first_image=images * rank),
                filled == 0,
                true_label[:, centre, centre],
            )

        return tuple(torch.cat(pair) for pair in zip(of(views.crop1), of(views.crop2), strict=True))

    @torch.no_grad()
    def negatives(self, phi: Tensor, label: Tensor, place: Tensor, shown: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draw negatives from this batch on all ranks, and add those of previous batches.

        Returns:
            tuple[Tensor, Tensor, Tensor]: (N, D) features, (N,) pseudo labels and (N,) ids of places, -1 for what came
            before.
        """
        cells = shown.nonzero()
        share = -(-self.new_negatives // get_dist_info()[1])
        chosen = cells[torch.randperm(len(cells), device=cells.device)[:share]].unbind(dim=1)
        new_place = gather_rows(place[chosen])[0]
        if self.bank is None:
            return *gather_rows(phi[chosen].float(), label[chosen]), new_place
        past, past_label = self.bank.read()
        new, new_label = self.bank.push(phi[chosen], label[chosen])
        return (
            torch.cat([new, past]),
            torch.cat([new_label, past_label]),
            torch.cat([new_place, torch.full_like(past_label, -1)]),
        )

    @torch.no_grad()
    def statistics(
        self, label: Tensor, confidence: Tensor, true_label: Tensor, shown: Tensor, one: tuple, two: tuple
    ) -> dict[str, Tensor]:
        """Tell what the loss works on, for the log."""
        own, other = torch.cat([confidence[one], confidence[two]]), torch.cat([confidence[two], confidence[one]])
        active = other > getattr(self.contrast, 'pos_threshold', 0.0)
        if getattr(self.contrast, 'directional', False):
            active = active & (own < other)
        statistics = dict(active_anchors=active.float().sum() / max(len(own), 1), confidence=confidence[shown].mean())
        classes = self.student.num_classes
        known = shown & (true_label < classes)
        if known.any():
            anchors = torch.cat([torch.stack([label[side], true_label[side]]) for side in (one, two)], dim=1)[:, active]
            pool = torch.stack([label[known], true_label[known]])
            if not getattr(self.contrast, 'negative_sampling', True):
                anchors[0], pool[0] = 0, 1  # any pair is contrasted, as if its pseudo labels differed
            statistics['negative_precision'] = self._precision(anchors[:, anchors[1] < classes], pool)
        return statistics

    def _precision(self, anchors: Tensor, negatives: Tensor) -> Tensor:
        """Share of truly different pairs among those that are contrasted, from (2, n) pseudo and true labels."""
        classes = self.student.num_classes
        a, b = (
            torch.bincount(pseudo * classes + true, minlength=classes**2).view(classes, classes).double()
            for pseudo, true in (anchors, negatives)
        )
        pairs = a.sum() * b.sum() - (a.sum(dim=1) * b.sum(dim=1)).sum()
        false = (a.sum(dim=0) * b.sum(dim=0)).sum() - (a * b).sum()
        return (1 - false / pairs.clamp(min=1)).float()

    def student_input(self, views: UnlabeledViews) -> tuple[Tensor, Target]:
        """Show the first crops, and the student's own pseudo labels, in pictures."""
        return views.crop1.image, self.teacher_target(views.crop1)
