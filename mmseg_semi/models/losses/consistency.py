from mmseg.registry import MODELS
from torch import Tensor, nn

from ..prediction import Prediction, Target


class ConsistencyLosses(nn.ModuleList):
    """The consistency losses of a method.

    A consistency loss is a registered module with a ``loss_name``. It takes the student's :class:`Prediction` of B
    images and their :class:`Target`, mixed as the images are, and gives its weighted value. Any of them can be listed
    in any method.

    Args:
        losses (list[dict]): Their configs.

    Raises:
        ValueError: If two share a name, so that one would hide the other.
    """

    def __init__(self, losses: list[dict]) -> None:
        super().__init__(MODELS.build(loss) for loss in losses)
        names = [loss.loss_name for loss in self]
        if len(set(names)) < len(names):
            raise ValueError(f'consistency losses are named {names}: give each a loss_name of its own')

    def forward(self, student: Prediction, target: Target) -> dict[str, Tensor]:
        """Give each loss under its name."""
        return {loss.loss_name: loss(student, target) for loss in self}
