import torch
import torch.nn.functional as F

from mmseg_semi.models import ExtraClassifier


def test_logits_are_a_linear_layer_at_every_place_enlarged_to_the_image():
    head = ExtraClassifier(in_channels=6, num_classes=5).double().eval()
    feature = torch.randn(2, 6, 4, 3, dtype=torch.float64)
    weight, bias = head.conv_seg.weight[:, :, 0, 0], head.conv_seg.bias
    logits = torch.einsum('kc,bchw->bkhw', weight, feature) + bias[:, None, None]
    expected = F.interpolate(logits, (16, 12), mode='bilinear', align_corners=False)
    torch.testing.assert_close(head(feature, (16, 12)), expected)


def test_whole_channels_are_dropped_in_training_alone():
    torch.manual_seed(0)
    head = ExtraClassifier(in_channels=64, num_classes=1, dropout_ratio=0.5).train()
    head.conv_seg.weight.data.fill_(1)
    head.conv_seg.bias.data.zero_()
    sums = head(torch.ones(8, 64, 2, 2), (2, 2))
    assert (sums == sums[..., :1, :1]).all()
    assert sums.std() > 0
    assert (head.eval()(torch.ones(1, 64, 2, 2), (2, 2)) == 64).all()
