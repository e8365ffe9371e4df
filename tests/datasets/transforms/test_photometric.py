import itertools

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from mmseg_semi.datasets import StrongPhotometric
from mmseg_semi.datasets.transforms.photometric import photometric

BLANK = np.zeros((2, 2, 3), np.uint8)
STEPS = [
    ('brightness', 1.5), ('brightness', 0.5), ('contrast', 1.5), ('contrast', 0.5), ('saturation', 1.5),
    ('saturation', 0.0), ('hue', 0.25), ('hue', -0.25), ('hue', 0.5), ('hue', -0.5), ('blur', 0.1), ('blur', 2.0),
]  # fmt: skip
CHAINS = [[step] for step in STEPS] + [
    [*order, ('saturation', 0.0), ('blur', 1.0)][:length]
    for order in itertools.permutations([('brightness', 1.4), ('contrast', 1.5), ('saturation', 0.6), ('hue', -0.2)])
    for length in (4, 6)
]


@pytest.fixture
def image():
    """Noise in the upper half, then gray, black, white and pure colours."""
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    image[20:] = image[20:, :, :1]
    image[28:32], image[32:36], image[36:] = 0, 255, np.array([0, 0, 255])
    return image


def by_torchvision(image, steps):
    rgb = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1).double() / 255
    for name, value in steps:
        if name == 'blur':
            size = 2 * int(np.ceil(3 * value)) + 1
            rgb = functional.gaussian_blur(rgb, [size, size], [value, value])
        else:
            rgb = getattr(functional, f'adjust_{name}')(rgb, value)
    return 255 * rgb.permute(1, 2, 0).numpy()[..., ::-1]


@pytest.mark.parametrize('steps', CHAINS, ids=str)
def test_it_is_what_torchvision_does_to_floats_but_for_the_last_rounding(image, steps):
    given = image.copy()
    done = photometric(image, steps)
    assert done.dtype == np.uint8
    assert abs(done - by_torchvision(image, steps)).max() < 0.502
    assert (image == given).all()


def draw(count, **options):
    torch.manual_seed(0)
    transform = StrongPhotometric(on_device=True, **options)
    return [transform.transform(dict(img=BLANK))['photometric'] for _ in range(count)]


def test_steps_are_drawn_with_their_probabilities_ranges_and_orders():
    drawn = draw(2000)
    jittered = [steps for steps in drawn if steps and steps[0][0] != 'blur' and steps[0] != ('saturation', 0.0)]
    share = {'jitter': len(jittered), 'gray': sum(('saturation', 0.0) in steps for steps in drawn)}
    share['blur'] = sum(bool(steps) and steps[-1][0] == 'blur' for steps in drawn)
    assert {name: count / 2000 for name, count in share.items()} == pytest.approx(
        dict(jitter=0.8, gray=0.2, blur=0.5), abs=0.03
    )
    assert len({tuple(name for name, _ in steps[:4]) for steps in jittered}) == 24
    values = {name: [value for steps in drawn for kind, value in steps if kind == name] for name, _ in STEPS}
    values['saturation'] = [value for value in values['saturation'] if value]
    for name, low, high in (('brightness', 0.5, 1.5), ('contrast', 0.5, 1.5), ('saturation', 0.5, 1.5),
                            ('hue', -0.25, 0.25), ('blur', 0.1, 2.0)):  # fmt: skip
        margin = 0.02 * (high - low)
        assert low <= min(values[name]) < low + margin
        assert high - margin < max(values[name]) <= high


@pytest.mark.parametrize('on_device', [False, True])
def test_colours_of_more_than_eight_bits_are_refused(on_device):
    with pytest.raises(ValueError, match='colours go from 0 to 255, as uint8, but an image is float32'):
        StrongPhotometric(on_device=on_device).transform(dict(img=BLANK.astype(np.float32)))


@pytest.mark.parametrize('channels', [(), (1,), (5,)])
def test_images_of_other_channels_than_colours_keep_what_is_of_colours(channels):
    bands = np.random.default_rng(0).integers(0, 256, (20, 30, *channels), dtype=np.uint8)
    torch.manual_seed(0)
    steps = [('brightness', 1.2), ('contrast', 0.7), ('blur', 1.5)]
    expected = torch.from_numpy(bands).reshape(20, 30, -1).permute(2, 0, 1).float() / 255
    expected = (1.2 * expected).clamp(max=1)
    expected = (0.7 * expected + 0.3 * expected.mean()).clamp(0, 1)
    expected = functional.gaussian_blur(expected, [11, 11], [1.5, 1.5]).permute(1, 2, 0).reshape(bands.shape)
    assert np.abs(photometric(bands, steps) - 255 * expected.numpy()).max() < 0.502
    of_colours = StrongPhotometric(brightness=0, contrast=0, jitter_prob=1, gray_prob=1, blur_prob=0)
    assert np.array_equal(of_colours.transform(dict(img=bands))['img'], bands)
    with pytest.raises(ValueError, match='has no three channels'):
        StrongPhotometric(on_device=True).transform(dict(img=bands))


def test_what_is_switched_off_is_never_drawn():
    assert draw(20, jitter_prob=0, gray_prob=0, blur_prob=0) == [[]] * 20
    names = {name for steps in draw(50, hue=0, contrast=0, gray_prob=0, blur_prob=0) for name, _ in steps}
    assert names == {'brightness', 'saturation'}


def test_an_image_follows_the_seed_and_the_same_is_drawn_for_the_device(image):
    results = []
    for seed, on_device in ((1, False), (1, False), (2, False), (1, True)):
        torch.manual_seed(seed)
        results.append(StrongPhotometric(jitter_prob=1.0, on_device=on_device).transform(dict(img=image)))
    first, again, other, later = results
    assert (first['img'] == again['img']).all()
    assert (first['img'] != other['img']).any()
    assert (later['img'] == image).all()
    assert (photometric(image, later['photometric']) == first['img']).all()


@pytest.mark.parametrize('wrong', [dict(hue=0.6), dict(brightness=-1), dict(blur_prob=1.5), dict(blur_sigma=(2, 1))])
def test_arguments_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).removeprefix('blur_')):
        StrongPhotometric(**wrong)
