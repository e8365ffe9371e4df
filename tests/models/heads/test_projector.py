import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.models import Projector


def test_it_is_two_layers_for_each_pixel_and_ends_on_the_unit_sphere():
    projector = MODELS.build(dict(type='Projector', in_channels=6))
    feature = torch.randn(2, 6, 3, 5)
    out = projector(feature)
    assert out.shape == (2, 128, 3, 5)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(2, 3, 5))
    first, _, second = projector.layers
    pixel = second.weight[..., 0, 0] @ (first.weight[..., 0, 0] @ feature[1, :, 2, 4] + first.bias).relu() + second.bias
    torch.testing.assert_close(out[1, :, 2, 4], pixel / pixel.norm())


def test_features_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r'\(B, 6, H, W\).*\(2, 5, 3, 3\).*in_channels'):
        Projector(6)(torch.randn(2, 5, 3, 3))
