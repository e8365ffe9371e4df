"""Contrast between pixels, in which only the less confident of two features moves.

Shape letters: n anchors, m of them that count, N negatives, D channels.
"""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from .utils import check_share, check_tensor, full_precision, unit_vectors, with_gradient

# Similarities that are held at one time. It sets memory and speed, never the result: few stay in a CPU's cache,
# many fill a GPU.
_BLOCK = {'cpu': 2**21, 'cuda': 2**25}


@full_precision
def directional_contrastive_loss(
    anchor: Tensor,
    positive: Tensor,
    anchor_conf: Tensor,
    positive_conf: Tensor,
    anchor_label: Tensor,
    negatives: Tensor,
    negative_label: Tensor,
    temperature: float = 0.1,
    pos_threshold: float = 0.75,
    directional: bool = True,
    normalize: str = 'positives',
    anchor_id: Tensor | None = None,
    negative_id: Tensor | None = None,
) -> Tensor:
    r"""Pull features towards more confident ones of the same place, and away from those of other classes.

    One direction of equation 6 of `Semi-supervised Semantic Segmentation with Directional Context-aware Consistency
    <https://arxiv.org/abs/2106.14133>`_:

    .. math::
        l_{dc} = -\frac{1}{M} \sum_i m_i \log \frac{r(\phi_i, \phi_i^+)}
            {r(\phi_i, \phi_i^+) + \sum_n 1[\tilde{y}_n \neq \tilde{y}_i] \, r(\phi_i, \phi_n)}, \qquad
        r(a, b) = e^{\cos(a, b) / \tau}, \qquad
        m_i = 1[c_i < c_i^+] \cdot 1[c_i^+ > \gamma]

    The loss of the paper is this plus the same with anchors and positives exchanged. An anchor with m_i = 0 costs
    nothing, and memory grows with n and N, but not with their product.

    Args:
        anchor (Tensor): (n, D) features of pixels, of any length. Only they receive a gradient.
        positive (Tensor): (n, D) features of the same pixels under another context.
        anchor_conf (Tensor): (n,) confidence c of the anchors, in [0, 1].
        positive_conf (Tensor): (n,) confidence of the positives, in [0, 1].
        anchor_label (Tensor): (n,) integer, pseudo label of the anchors.
        negatives (Tensor): (N, D) features of other pixels.
        negative_label (Tensor): (N,) integer, their pseudo labels.
        temperature (float): :math:`\tau`, positive. Defaults to 0.1.
        pos_threshold (float): :math:`\gamma`; 0 turns the filtering of positives off. Defaults to 0.75.
        directional (bool): Whether an anchor must be less confident than its positive. Defaults to True.
        normalize (str): What M is: ``'positives'``, the number of anchors with m = 1, or ``'all'``, n, as the
            equation is printed. Defaults to ``'positives'``.
        anchor_id (Tensor, optional): (n,) integer, the place in an original image that an anchor shows.
        negative_id (Tensor, optional): (N,) integer, likewise. A negative with its anchor's id is none, since it shows
            the same place; -1 serves for one whose place is unknown.

    Returns:
        Tensor: A scalar, at least 0; 0 where no anchor counts or none has a negative.

    Raises:
        ValueError: If a shape or a type does not fit, if only one of the ids is given, if ``temperature`` is not
            positive, ``pos_threshold`` not in [0, 1] or ``normalize`` neither of its values.
        RuntimeError: On differentiating twice: only the first derivative is implemented.

    Example:
        >>> anchor, positive = torch.randn(2, 100, 128, requires_grad=True)
        >>> confidence, label = torch.rand(2, 100), torch.randint(19, (100,))
        >>> negatives, negative_label = torch.randn(500, 128), torch.randint(19, (500,))
        >>> directional_contrastive_loss(anchor, positive, *confidence, label, negatives, negative_label).backward()
    """
    check_tensor('anchor', anchor, 'floating', ('n', 'D'))
    check_tensor('positive', positive, 'floating', tuple(anchor.shape))
    check_tensor('anchor_conf', anchor_conf, 'floating', (len(anchor),))
    check_tensor('positive_conf', positive_conf, 'floating', (len(anchor),))
    check_tensor('anchor_label', anchor_label, 'integer', (len(anchor),))
    check_tensor('negatives', negatives, 'floating', ('N', anchor.shape[1]))
    check_tensor('negative_label', negative_label, 'integer', (len(negatives),))
    if (anchor_id is None) != (negative_id is None):
        raise ValueError("'anchor_id' and 'negative_id' go together, but only one of them is given")
    if anchor_id is not None:
        check_tensor('anchor_id', anchor_id, 'integer', (len(anchor),))
        check_tensor('negative_id', negative_id, 'integer', (len(negatives),))
    _check_options(temperature, pos_threshold, normalize)

    counts = positive_conf > pos_threshold
    if directional:
        counts = counts & (anchor_conf < positive_conf)
    chosen = counts.nonzero().squeeze(dim=1)
    label, by_label = anchor_label[chosen].long().sort()
    chosen = chosen[by_label]

    phi = unit_vectors(anchor.index_select(0, chosen)) / temperature
    positive = unit_vectors(positive.detach()[chosen].to(anchor.dtype))
    ids = None if anchor_id is None else (anchor_id[chosen], negative_id)
    log_r = (phi * positive).sum(dim=1)
    log_negatives = with_gradient(phi, *_log_sum_negatives(phi, label, negatives, negative_label, ids))
    # The fraction of equation 6 is 1 / (1 + sum / r), a sigmoid.
    loss = -F.logsigmoid(log_r - log_negatives).sum()
    return loss / max(len(chosen) if normalize == 'positives' else len(anchor), 1)


def _check_options(temperature: float, pos_threshold: float, normalize: str) -> None:
    if not temperature > 0:
        raise ValueError(f"'temperature' must be positive, but is {temperature!r}")
    check_share('pos_threshold', pos_threshold)
    if normalize not in ('positives', 'all'):
        raise ValueError(f"'normalize' must be 'positives' or 'all', but is {normalize!r}")


@torch.no_grad()
def _log_sum_negatives(
    phi: Tensor, label: Tensor, negatives: Tensor, negative_label: Tensor, ids: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    r"""Logarithm of :math:`\sum_n 1[\tilde{y}_n \neq \tilde{y}_i] \, r(\phi_i, \phi_n)` for every anchor.

    Its derivative by :math:`\phi_i / \tau` is the mean of the negatives, weighted by their share of the sum. It is
    formed while the similarities are at hand, so that neither they are kept nor computed again.

    Args:
        phi (Tensor): (m, D) unit vectors of the anchors over the temperature.
        label (Tensor): (m,), sorted.
        negatives (Tensor): (N, D), of any length.
        negative_label (Tensor): (N,).
        ids (tuple[Tensor, Tensor], optional): (m,) and (N,).

    Returns:
        tuple[Tensor, Tensor]: (m,) logarithms, minus infinity where there is no negative, and (m, D) derivatives.
    """
    # Sorted by label and put down twice in a row, the negatives of all labels but one are a single slice.
    negative_label, order = negative_label.long().sort()
    order = order.repeat(2)
    negatives = negatives.to(phi.dtype)[order]
    F.normalize(negatives, dim=1, out=negatives)  # in place: the largest tensor here
    label, sizes = label.unique_consecutive(return_counts=True)
    starts = torch.searchsorted(negative_label, label, right=True).tolist()
    stops = (torch.searchsorted(negative_label, label) + len(negative_label)).tolist()

    log_sum = phi.new_full((len(phi),), -torch.inf)
    mean = torch.zeros_like(phi)
    first = 0
    for size, start, stop in zip(sizes.tolist(), starts, stops, strict=True):
        others = negatives[start:stop]
        block = max(_BLOCK.get(phi.device.type, _BLOCK['cpu']) // max(len(others), 1), 1)
        for row in range(first, first + size, block) if len(others) else ():
            rows = slice(row, min(row + block, first + size))
            same_place = None if ids is None else ids[0][rows, None] == ids[1][order[start:stop]]
            log_sum[rows], mean[rows] = _attend(phi[rows], others, same_place)
        first += size
    return log_sum, mean


def _attend(phi: Tensor, negatives: Tensor, same_place: Tensor | None) -> tuple[Tensor, Tensor]:
    """Hold the similarities of some anchors and negatives, at least one of each.

    Returns:
        tuple[Tensor, Tensor]: (m,) logarithms of the sums of r and (m, D) means of the negatives, weighted by r.
    """
    similarity = phi @ negatives.t()
    if same_place is not None:
        similarity.masked_fill_(same_place, -torch.inf)
    # Not below the smallest number, where all negatives are left out: their sum is then 0.
    top = similarity.amax(dim=1, keepdim=True).clamp(min=torch.finfo(phi.dtype).min)
    r = similarity.sub_(top).exp_()
    total = r.sum(dim=1, keepdim=True)
    return (top + total.log()).squeeze(dim=1), (r @ negatives) / total.masked_fill(total == 0, 1)


@MODELS.register_module()
class DirectionalContrastiveLoss(nn.Module):
    """:func:`directional_contrastive_loss` with its settings.

    Rows II to V of the paper's Table 3 turn settings off; :class:`FeatureL2Loss` makes row I.

    Args:
        temperature (float): Defaults to 0.1.
        pos_threshold (float): Confidence that a positive must exceed; 0 turns positive filtering off. Defaults to
            0.75.
        directional (bool): Whether only the less confident of two features moves. Defaults to True.
        negative_sampling (bool): Whether negatives must have another pseudo label than the anchor, or may be any
            pixel but its own. Defaults to True.
        normalize (str): ``'positives'`` or ``'all'``. Defaults to ``'positives'``.
        loss_weight (float): Factor on the loss. Defaults to 1.0.
        loss_name (str): Name of the loss in the log. It enters the total if it contains ``loss``. Defaults to
            ``'loss_dc'``.

    Raises:
        ValueError: If ``temperature``, ``pos_threshold`` or ``normalize`` is none that the function takes.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        pos_threshold: float = 0.75,
        directional: bool = True,
        negative_sampling: bool = True,
        normalize: str = 'positives',
        loss_weight: float = 1.0,
        loss_name: str = 'loss_dc',
    ) -> None:
        super().__init__()
        _check_options(temperature, pos_threshold, normalize)
        self.temperature = temperature
        self.pos_threshold = pos_threshold
        self.directional = directional
        self.negative_sampling = negative_sampling
        self.normalize = normalize
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self,
        anchor: Tensor,
        positive: Tensor,
        anchor_conf: Tensor,
        positive_conf: Tensor,
        anchor_label: Tensor,
        negatives: Tensor,
        negative_label: Tensor,
        anchor_id: Tensor | None = None,
        negative_id: Tensor | None = None,
    ) -> Tensor:
        """Weigh one direction of the loss.

        Args:
            anchor (Tensor): (n, D).
            positive (Tensor): (n, D).
            anchor_conf (Tensor): (n,).
            positive_conf (Tensor): (n,).
            anchor_label (Tensor): (n,) integer.
            negatives (Tensor): (N, D).
            negative_label (Tensor): (N,) integer.
            anchor_id (Tensor, optional): (n,) integer.
            negative_id (Tensor, optional): (N,) integer.

        Returns:
            Tensor: A scalar.
        """
        if not self.negative_sampling:
            anchor_label, negative_label = torch.zeros_like(anchor_label), torch.ones_like(negative_label)
        return self.loss_weight * directional_contrastive_loss(
            anchor,
            positive,
            anchor_conf,
            positive_conf,
            anchor_label,
            negatives,
            negative_label,
            temperature=self.temperature,
            pos_threshold=self.pos_threshold,
            directional=self.directional,
            normalize=self.normalize,
            anchor_id=anchor_id,
            negative_id=negative_id,
        )
