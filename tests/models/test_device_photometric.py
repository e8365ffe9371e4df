import numpy as np
import pytest
import torch

from mmseg_semi.datasets import StrongPhotometric
from mmseg_semi.datasets.transforms.photometric import photometric
from mmseg_semi.models.device_photometric import device_photometric


@pytest.mark.parametrize('autocast', [False, True])
def test_the_device_does_what_a_worker_does_but_for_rounding(autocast):
    torch.manual_seed(0)
    rng, transform = np.random.default_rng(0), StrongPhotometric(jitter_prob=0.9, on_device=True)
    for _ in range(25):
        image = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        steps = transform.transform(dict(img=image))['photometric']
        with torch.autocast('cpu', enabled=autocast):
            done = device_photometric(torch.from_numpy(image).permute(2, 0, 1), steps)
        difference = abs(done.permute(1, 2, 0).numpy().astype(int) - photometric(image, steps))
        assert done.dtype == torch.uint8
        assert difference.max() <= 1
        assert (difference > 0).mean() < 1e-3


def test_an_image_without_steps_stays_as_it_is():
    image = torch.randint(256, (3, 4, 5), dtype=torch.uint8)
    assert torch.equal(device_photometric(image, []), image)
