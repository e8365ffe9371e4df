import pytest
import torch

from mmseg_semi.models import Prediction


def test_the_maps_are_those_of_the_softmax():
    logits = torch.randn(2, 5, 3, 4)
    prediction = Prediction(logits)
    torch.testing.assert_close(prediction.prob, logits.softmax(1))
    torch.testing.assert_close(prediction.confidence, logits.softmax(1).amax(1))
    assert torch.equal(prediction.label, logits.argmax(1))


def test_each_map_is_computed_once():
    prediction = Prediction(torch.randn(1, 5, 3, 4))
    assert prediction.prob is prediction.prob
    assert prediction.label is prediction.label


@pytest.mark.parametrize(('given', 'computed'), [
    (torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float64, torch.float64),
])  # fmt: skip
def test_half_precision_is_widened_and_double_kept(given, computed):
    assert Prediction(torch.randn(1, 5, 3, 4).to(given)).prob.dtype == computed
