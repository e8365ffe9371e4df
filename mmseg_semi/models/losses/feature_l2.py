"""Distance between two features of one pixel, the plain counterpart of the directional contrastive loss.

Shape letters: n pixels, D channels.
"""

from mmseg.registry import MODELS
from torch import Tensor, nn

from .utils import check_tensor, full_precision, unit_vectors


@full_precision
def feature_l2_loss(anchor: Tensor, positive: Tensor) -> Tensor:
    r"""Mean squared L2 distance of two unit vectors.

    Row I of Table 3 of `Semi-supervised Semantic Segmentation with Directional Context-aware Consistency
    <https://arxiv.org/abs/2106.14133>`_, which gives no formula. In our reading, over n pixels:

    .. math:: l_2 = \frac{1}{n} \sum_i \lVert \hat\phi_i - \hat\phi_i^+ \rVert^2 = \frac{1}{n} \sum_i 2 - 2 \cos_i

    Args:
        anchor (Tensor): (n, D) features of pixels, of any length. Only they receive a gradient.
        positive (Tensor): (n, D) features of the same pixels under another context.

    Returns:
        Tensor: A scalar in [0, 4]; 0 where there is no pixel.

    Raises:
        ValueError: If a shape or a type does not fit.

    Example:
        >>> anchor, positive = torch.randn(2, 100, 128, requires_grad=True)
        >>> feature_l2_loss(anchor, positive).backward()
    """
    check_tensor('anchor', anchor, 'floating', ('n', 'D'))
    check_tensor('positive', positive, 'floating', tuple(anchor.shape))
    target = unit_vectors(positive.detach().to(anchor.dtype))
    return (unit_vectors(anchor) - target).square().sum() / max(len(anchor), 1)


@MODELS.register_module()
class FeatureL2Loss(nn.Module):
    """:func:`feature_l2_loss`, called as :class:`DirectionalContrastiveLoss` is and so in its place.

    Args:
        loss_weight (float): Factor on the loss. Defaults to 1.0.
        loss_name (str): Name of the loss in the log. It enters the total if it contains ``loss``. Defaults to
            ``'loss_l2'``.
    """

    def __init__(self, loss_weight: float = 1.0, loss_name: str = 'loss_l2') -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, anchor: Tensor, positive: Tensor, *contrast, **ids) -> Tensor:
        """Weigh the distance; what only a contrast needs is not looked at.

        Args:
            anchor (Tensor): (n, D).
            positive (Tensor): (n, D).

        Returns:
            Tensor: A scalar.
        """
        return self.loss_weight * feature_l2_loss(anchor, positive)
