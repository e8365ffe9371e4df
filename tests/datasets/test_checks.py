from pathlib import Path

import cv2
import numpy as np
import pytest
from mmcv.image import imread
from mmseg.datasets import BaseSegDataset
from PIL import ExifTags, Image

from mmseg_semi.datasets.checks import check_disjoint, check_image, check_labeled, check_unlabeled


@pytest.fixture
def dataset(tmp_path):
    """Four images of 20 x 30 pixels with two classes, read as an mmseg dataset."""
    rng = np.random.default_rng(0)
    for folder in ('images', 'annotations'):
        (tmp_path / folder).mkdir()
    for name in 'abcd':
        cv2.imwrite(str(tmp_path / f'images/{name}.jpg'), rng.integers(0, 255, (20, 30, 3), dtype=np.uint8))
        cv2.imwrite(str(tmp_path / f'annotations/{name}.png'), rng.integers(0, 2, (20, 30), dtype=np.uint8))
    return BaseSegDataset(
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='annotations'),
        metainfo=dict(classes=('a', 'b')),
    )


def write_label(tmp_path, label):
    cv2.imwrite(str(tmp_path / 'annotations/c.png'), label)


def test_sound_data_pass(dataset):
    check_labeled(dataset, 'train')
    check_unlabeled(dataset)


def test_the_size_of_an_image_is_read(dataset, tmp_path):
    assert check_image(str(tmp_path / 'images/a.jpg')) == (20, 30)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_an_image_has_the_size_that_it_is_loaded_with(tmp_path, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = str(tmp_path / 'a.jpg')
    Image.new('RGB', (30, 20)).save(path, exif=exif)
    assert check_image(path) == imread(path).shape[:2]


def test_an_annotation_fits_an_image_as_it_is_loaded(dataset, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new('RGB', (20, 30)).save(tmp_path / 'images/c.jpg', exif=exif)
    check_labeled(dataset, 'train')


def test_a_dataset_without_a_folder_of_annotations_is_named_with_the_way_out(dataset):
    images = BaseSegDataset(data_root=dataset.data_root, data_prefix=dict(img_path='images'), metainfo=dataset.metainfo)
    with pytest.raises(ValueError, match=r'a\.jpg has no annotation: its dataset needs data_prefix\.seg_map_path'):
        check_labeled(images, 'train')


def test_a_picture_of_several_bands_that_pil_does_not_know_has_a_size(tmp_path):
    tifffile = pytest.importorskip('tifffile')
    path = str(tmp_path / 'a.tif')
    tifffile.imwrite(path, np.zeros((20, 30, 5), np.float32), photometric='minisblack', planarconfig='contig')
    assert check_image(path) == (20, 30)
    with pytest.raises(ValueError, match='unreadable annotation'):
        check_image(path, what='annotation')
    for broken in (Path(path).read_bytes()[:1000], b'II*\0\0\0', b'no picture'):
        Path(path).write_bytes(broken)
        with pytest.raises(ValueError, match=r'unreadable image .*Replace the file'):
            check_image(path)


def test_an_image_that_pil_takes_for_an_attack_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    path = str(tmp_path / 'a.png')
    Image.new('L', (30, 20)).save(path)
    with pytest.raises(ValueError, match=r'a\.png is too large: .* Cut it into tiles'):
        check_image(path)


def test_the_id_that_a_dataset_ignores_is_right_and_255_is_not(dataset, tmp_path):
    label = np.array(Image.open(tmp_path / 'annotations/a.png'))
    label[0] = 254
    cv2.imwrite(str(tmp_path / 'annotations/a.png'), label)
    dataset.ignore_index = 254
    check_labeled(dataset, 'train')
    label[0] = 255
    cv2.imwrite(str(tmp_path / 'annotations/a.png'), label)
    with pytest.raises(ValueError, match=r'has the values \[255\], .* and 254 is ignored'):
        check_labeled(dataset, 'train')


@pytest.mark.parametrize('folder', ['images', 'annotations'])
def test_a_missing_file_is_named(dataset, tmp_path, folder):
    file = next((tmp_path / folder).glob('c.*'))
    file.unlink()
    with pytest.raises(ValueError, match=rf'{folder[:-1]} not found: .*{file.name}'):
        check_labeled(dataset, 'train')


@pytest.mark.parametrize('keep', [0, 40, -24])
@pytest.mark.parametrize('folder', ['images', 'annotations'])
def test_a_truncated_file_is_named(dataset, tmp_path, folder, keep):
    file = next((tmp_path / folder).glob('c.*'))
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=rf'unreadable {folder[:-1]} .*{file.name}'):
        check_labeled(dataset, 'train')


def test_bytes_behind_the_end_of_an_image_do_no_harm(dataset, tmp_path):
    with open(tmp_path / 'images/c.jpg', 'ab') as file:
        file.write(b'\x00' * 16)
    check_unlabeled(dataset)


def test_a_label_out_of_range_is_named_with_its_values(dataset, tmp_path):
    write_label(tmp_path, np.full((20, 30), 7, np.uint8))
    with pytest.raises(ValueError, match=r'c\.png has the values \[7\], but ids go from 0 to 1'):
        check_labeled(dataset, 'train')


def test_a_label_that_eight_bits_would_change_is_named(dataset, tmp_path):
    write_label(tmp_path, np.full((20, 30), 257, np.uint16))
    with pytest.raises(ValueError, match=r'c\.png has the values \[257\] in more than eight bits'):
        check_labeled(dataset, 'train')
    write_label(tmp_path, np.ones((20, 30), np.uint16))
    check_labeled(dataset, 'train')


def test_the_ignored_label_is_in_range(dataset, tmp_path):
    write_label(tmp_path, np.full((20, 30), 255, np.uint8))
    check_labeled(dataset, 'train')


def test_an_annotation_of_another_size_is_named(dataset, tmp_path):
    write_label(tmp_path, np.zeros((20, 31), np.uint8))
    with pytest.raises(ValueError, match=r'c\.jpg has height and width \(20, 30\), .*c\.png has \(20, 31\)'):
        check_labeled(dataset, 'train')


def test_a_colour_annotation_is_refused(dataset, tmp_path):
    write_label(tmp_path, np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(ValueError, match=r'c\.png has shape \(20, 30, 3\)'):
        check_labeled(dataset, 'train')


def test_an_image_that_is_trained_and_validated_on_is_named(dataset):
    with pytest.raises(ValueError, match=r'4 images are in the labelled and in the validation list, such as .*a\.jpg'):
        check_disjoint(dataset, dataset)
