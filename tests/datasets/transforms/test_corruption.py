import re
import sys

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope

from mmseg_semi.datasets import ImageCorruption, corruption_names
from mmseg_semi.datasets.textured_scenes import render_scene


@pytest.fixture(scope='module')
def image():
    return render_scene('val', 0, (60, 80))[0]


def corrupt(image, corruption, severity=3, path='somewhere/a.png', **options):
    return ImageCorruption(corruption, severity, **options).transform(dict(img=image.copy(), img_path=path))['img']


@pytest.mark.parametrize('corruption', corruption_names('all'))
def test_every_corruption_changes_the_image_the_same_way_whatever_was_drawn_before(image, corruption):
    np.random.seed(0)
    first, following = corrupt(image, corruption), np.random.rand()
    assert np.random.rand() != following
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert (first != image).any()
    np.testing.assert_array_equal(corrupt(image, corruption, path='elsewhere/a.png'), first)
    np.random.seed(0)
    assert np.random.rand() == following  # the global generator is as it was


@pytest.mark.parametrize('corruption', ['gaussian_noise', 'impulse_noise', 'glass_blur', 'motion_blur', 'fog', 'snow'])
def test_another_image_or_seed_is_corrupted_differently(image, corruption):
    first = corrupt(image, corruption)
    assert (corrupt(image, corruption, path='somewhere/b.png') != first).any()
    assert (corrupt(image, corruption, seed=1) != first).any()


@pytest.mark.parametrize('corruption', ['gaussian_noise', 'shot_noise', 'defocus_blur', 'contrast', 'pixelate'])
def test_severity_grows(image, corruption):
    errors = [np.square(corrupt(image, corruption, s) - image.astype(float)).mean() for s in range(1, 6)]
    assert errors == sorted(errors)
    assert errors[4] > 1.5 * errors[0]


def test_blue_stays_blue(image):
    blue = np.zeros((40, 40, 3), np.uint8)
    blue[..., 0] = 120
    brighter = corrupt(blue, 'brightness')
    assert (brighter[..., 0] > 150).all()
    assert (brighter[..., 2] < brighter[..., 0]).all()
    # JPEG stores blue coarser than red and green.
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    errors = []
    for channel in (0, 2):
        one = np.zeros((64, 64, 3), np.uint8)
        one[..., channel] = noise
        errors.append(np.abs(corrupt(one, 'jpeg_compression', 5)[..., channel] - noise.astype(float)).mean())
    assert errors[0] > errors[1]


def test_it_works_in_a_pipeline(image, tmp_path):
    from PIL import Image

    init_default_scope('mmseg')
    Image.fromarray(image).save(tmp_path / 'a.png')
    pipeline = Compose([dict(type='LoadImageFromFile'), dict(type='ImageCorruption', corruption='fog', severity=5)])
    found = pipeline(dict(img_path=str(tmp_path / 'a.png')))
    np.testing.assert_array_equal(found['img'], corrupt(image[..., ::-1], 'fog', 5))


def test_options_that_make_no_sense_are_named():
    with pytest.raises(ValueError, match=r"corruption='rain' is none of gaussian_noise, .*fog"):
        ImageCorruption('rain')
    for severity in (0, 6, 2.5):
        with pytest.raises(ValueError, match=f'severity={severity} is not one of 1, 2, 3, 4, 5'):
            ImageCorruption('fog', severity)


@pytest.mark.parametrize('wrong', [np.zeros((20, 50, 3), np.uint8), np.zeros((50, 50, 3), np.float32)])
def test_an_image_that_cannot_be_corrupted_is_named_with_the_way_out(wrong):
    with pytest.raises(ValueError, match=r'somewhere/a.png was loaded as .* without to_float32'):
        corrupt(wrong, 'fog')


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'imagecorruptions', None)
    with pytest.raises(ImportError, match=re.escape("pip install -e '.[robustness]'")):
        ImageCorruption('fog')
