"""Converters on small trees that are laid out as the downloads are."""

import runpy
from functools import partial
from pathlib import Path
from shutil import rmtree

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import DATASETS
from PIL import Image
from scipy.io import savemat

from mmseg_semi.datasets.checks import check_annotation, data_infos
from mmseg_semi.datasets.splits import read_list

RNG = np.random.default_rng(0)
CONFIGS = Path(__file__).parents[2] / 'configs'
SPLITS = CONFIGS / '_base_/datasets/splits'


def save(path, pixels, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette(palette)
    image.save(path)


def picture(height, width):
    return RNG.integers(0, 255, (height, width, 3), dtype=np.uint8)


def load(path):
    return np.asarray(Image.open(path))


def snapshot(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob('*') if path.is_file()}


# PASCAL VOC 2012 and SBD


@pytest.fixture
def voc(tmp_path):
    """``a`` is in VOC's train list, ``v`` in its val list; SBD has both and ``x`` and ``y``."""
    voc, sbd = tmp_path / 'VOCdevkit/VOC2012', tmp_path / 'benchmark_RELEASE'
    (voc / 'ImageSets/Segmentation').mkdir(parents=True)
    for part, names in dict(train='a\n', val='v\n', trainval='a\nv\n').items():
        (voc / f'ImageSets/Segmentation/{part}.txt').write_text(names)
    for name in 'avxy':
        save(voc / f'JPEGImages/{name}.jpg', picture(5, 7))
    for name in 'av':
        ids = np.zeros((5, 7), np.uint8)
        ids[1], ids[2] = 20, 255
        save(voc / f'SegmentationClass/{name}.png', ids, palette=[i for c in range(256) for i in (c, 255 - c, 9)])
    (sbd / 'dataset/cls').mkdir(parents=True)
    for name in 'avxy':
        ids = np.full((5, 7), 3, np.uint8)
        savemat(sbd / f'dataset/cls/{name}.mat', {'GTcls': {'Segmentation': ids, 'Boundaries': 0}})
    (sbd / 'dataset/train.txt').write_text('x\nv\n')
    (sbd / 'dataset/val.txt').write_text('y\na\n')
    return voc, sbd


@pytest.fixture
def voc_aug(run_tool, voc):
    return partial(run_tool, 'dataset_converters/voc_aug.py', *voc, '--workers', 1)


def test_voc_takes_its_own_annotations_first_and_those_of_sbd_for_the_rest(voc_aug, voc):
    done = voc_aug('--partial')
    assert done.returncode == 0, done.stderr
    lists, aug = voc[0] / 'ImageSets/Segmentation', voc[0] / 'SegmentationClassAug'
    assert read_list(lists / 'trainaug.txt') == ['a', 'x', 'y']
    assert read_list(lists / 'aug.txt') == ['x', 'y']
    assert sorted(path.name for path in aug.iterdir()) == ['a.png', 'v.png', 'x.png', 'y.png']
    assert load(aug / 'a.png')[:3, 0].tolist() == [0, 20, 255]
    assert (load(aug / 'x.png') == 3).all()


def test_a_second_run_makes_only_what_is_missing(voc_aug, voc):
    voc_aug('--partial')
    before = snapshot(voc[0] / 'SegmentationClassAug')
    (voc[0] / 'SegmentationClassAug/x.png').unlink()
    assert 'annotations of SBD: 1 to do, 1 done before' in voc_aug('--partial').stdout
    after = snapshot(voc[0] / 'SegmentationClassAug')
    assert after.keys() == before.keys()
    assert sum(after[path] != before[path] for path in after) == 1


def test_an_incomplete_voc_is_refused_with_what_it_should_have(voc_aug, voc):
    assert 'found 3, the complete download has 10582' in voc_aug().stderr
    assert not (voc[0] / 'SegmentationClassAug').exists()


@pytest.mark.parametrize(
    ('missing', 'message'),
    [
        ('VOCdevkit/VOC2012/JPEGImages/x.jpg', 'x.jpg not found: unpack VOCtrainval'),
        ('VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt', 'val.txt not found: unpack VOCtrainval'),
        ('benchmark_RELEASE/dataset/val.txt', "val.txt not found: unpack SBD's benchmark.tgz"),
        ('benchmark_RELEASE/dataset/cls/y.mat', "y.mat not found: unpack SBD's benchmark.tgz"),
    ],
)
def test_the_first_missing_file_of_voc_or_sbd_is_named(voc_aug, voc, tmp_path, missing, message):
    (tmp_path / missing).unlink()
    done = voc_aug()
    assert done.returncode == 1
    assert message in done.stderr
    assert not (voc[0] / 'SegmentationClassAug').exists()


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lambda path: path.write_bytes(b'MATLAB'), 'unreadable annotation'),
        (
            lambda path: savemat(path, {'GTcls': {'Segmentation': np.full((5, 7), 21, np.uint8), 'Boundaries': 0}}),
            'x.mat has the ids [21]',
        ),
        (
            lambda path: savemat(path, {'GTcls': {'Segmentation': np.zeros((4, 7), np.uint8), 'Boundaries': 0}}),
            'x.mat has height and width (4, 7), but (5, 7) is right',
        ),
    ],
)
def test_a_wrong_annotation_is_named_and_nothing_half_written(voc_aug, voc, spoil, message):
    spoil(voc[1] / 'dataset/cls/x.mat')
    done = voc_aug('--partial')
    assert message in done.stderr
    assert not (voc[0] / 'SegmentationClassAug/x.png').exists()
    assert not (voc[0] / 'ImageSets/Segmentation/trainaug.txt').exists()


# Cityscapes


@pytest.fixture
def cityscapes(tmp_path):
    root = tmp_path / 'cityscapes'
    for part, name in (('train', 'aachen/aachen_000000_000019'), ('val', 'lindau/lindau_000000_000019')):
        save(root / f'leftImg8bit/{part}/{name}_leftImg8bit.png', np.zeros((1024, 2048, 3), np.uint8))
        ids = np.zeros((1024, 2048), np.uint8)
        ids[0, :34] = range(34)
        save(root / f'gtFine/{part}/{name}_gtFine_labelIds.png', ids)
        (root / f'gtFine/{part}/{name}_gtFine_polygons.json').write_text('{}')
    return root


@pytest.fixture
def convert_cityscapes(run_tool, cityscapes):
    return partial(run_tool, 'dataset_converters/cityscapes.py', cityscapes, '--workers', 1)


def test_cityscapes_gets_the_19_classes_that_its_dataset_class_reads(convert_cityscapes, cityscapes):
    done = convert_cityscapes('--partial')
    assert done.returncode == 0, done.stderr
    init_default_scope('mmseg')
    prefix = dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train')
    dataset = DATASETS.build(dict(type='CityscapesDataset', data_root=str(cityscapes), data_prefix=prefix))
    label = LoadAnnotations().transform(dataset.get_data_info(0))['gt_seg_map']
    i = 255
    assert label[0, :34].tolist() == [
        i, i, i, i, i, i, i, 0, 1, i, i, 2, 3, 4, i, i, i, 5, i, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, i, i, 16, 17, 18,
    ]  # fmt: skip
    assert (label[1:] == i).all()
    assert 'no coarse set' in done.stdout
    assert 'no images to submit' in done.stdout


def test_training_and_validation_images_of_cityscapes_are_one_list_for_the_submission(convert_cityscapes, cityscapes):
    assert convert_cityscapes('--partial').returncode == 0
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / 'supervised/supervised_deeplabv3plus_wrn38_8xb1-76k_cityscapes-trainval-896x896.py')
    labeled = dict(cfg.train_dataloader.dataset.labeled, data_root=str(cityscapes), pipeline=[])
    infos = data_infos(DATASETS.build(labeled))
    assert [Path(info['img_path']).parts[-3] for info in infos] == ['train', 'val']
    assert all(Path(info[key]).is_file() for info in infos for key in ('img_path', 'seg_map_path'))


def test_coarse_images_are_checked_and_their_annotations_are_not_needed(convert_cityscapes, cityscapes):
    image = cityscapes / 'leftImg8bit/train_extra/ulm/ulm_000000_000000_leftImg8bit.png'
    save(image, np.zeros((1024, 2048, 3), np.uint8))
    assert convert_cityscapes('--partial').returncode == 0
    save(image, np.zeros((512, 1024, 3), np.uint8))
    assert (
        'ulm_000000_000000_leftImg8bit.png has height and width (512, 1024)' in convert_cityscapes('--partial').stderr
    )


def test_coarse_annotations_are_converted_where_they_are_there(convert_cityscapes, cityscapes):
    save(
        cityscapes / 'leftImg8bit/train_extra/ulm/ulm_000000_000000_leftImg8bit.png',
        np.zeros((1024, 2048, 3), np.uint8),
    )
    source = cityscapes / 'gtCoarse/train_extra/ulm/ulm_000000_000000_gtCoarse_labelIds.png'
    save(source, np.full((1024, 2048), 26, np.uint8))
    assert convert_cityscapes('--partial').returncode == 0
    label = cv2.imread(str(source).replace('labelIds', 'labelTrainIds'), cv2.IMREAD_UNCHANGED)
    assert (label == 13).all()
    source.unlink()
    assert (
        'ulm_000000_000000_gtCoarse_labelIds.png not found: unpack gtCoarse.zip'
        in convert_cityscapes('--partial').stderr
    )


@pytest.mark.parametrize(
    ('missing', 'message'),
    [
        ('gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png', 'labelIds.png not found: unpack gtFine_'),
        ('leftImg8bit/val/lindau/lindau_000000_000019_leftImg8bit.png', 'has no image that ends in _leftImg8bit.png'),
    ],
)
def test_the_first_missing_file_of_cityscapes_is_named(convert_cityscapes, cityscapes, missing, message):
    (cityscapes / missing).unlink()
    assert message in convert_cityscapes('--partial').stderr


def test_an_incomplete_cityscapes_is_refused(convert_cityscapes, cityscapes):
    assert 'found 1, the complete download has 2975' in convert_cityscapes().stderr
    assert not list(cityscapes.rglob('*labelTrainIds.png'))


# Mapillary Vistas


@pytest.fixture
def mapillary(tmp_path):
    """Version 2.0 of the download, which holds the annotations of version 1.2 too."""
    root = tmp_path / 'mapillary'
    for part, name in dict(training='a_-1', validation='b').items():
        save(root / f'{part}/images/{name}.jpg', picture(6, 70))
        for version, classes in {'v1.2': 66, 'v2.0': 124}.items():
            ids = np.zeros((6, 70), np.uint8)
            ids[0, :66] = range(66)
            ids[1] = classes - 1
            save(root / f'{part}/{version}/labels/{name}.png', ids, palette=[i for c in range(256) for i in (9, c, 99)])
            save(root / f'{part}/{version}/instances/{name}.png', ids)
    (root / 'testing/images').mkdir(parents=True)
    return root


@pytest.fixture
def convert_mapillary(run_tool, mapillary):
    return partial(run_tool, 'dataset_converters/mapillary.py', mapillary, '--workers', 1)


def test_mapillary_gets_ids_that_its_dataset_class_reads(convert_mapillary, mapillary):
    done = convert_mapillary('--partial')
    assert done.returncode == 0, done.stderr
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / 'supervised/supervised_deeplabv3plus_wrn38_8xb2-197k_mapillary-full-896x896.py')
    for part in (cfg.train_dataloader.dataset.labeled, cfg.val_dataloader.dataset):
        dataset = DATASETS.build(dict(part, data_root=str(mapillary), pipeline=[]))
        label = check_annotation(dataset.get_data_info(0), num_classes=66)
        assert label[0, :66].tolist() == [*range(65), 255]
        assert (label[1] == 255).all()
        assert (label[2:] == 0).all()
    assert 'annotations of 65 classes: 0 to do' in convert_mapillary('--partial').stdout


def test_version_1_of_the_download_gives_the_same_tree(convert_mapillary, mapillary):
    convert_mapillary('--partial')
    expected = {
        part: load(next((mapillary / part / 'v1.2/labels_mask').iterdir())) for part in ('training', 'validation')
    }
    for part in expected:
        (mapillary / part / 'v1.2/labels').rename(mapillary / part / 'labels')
        rmtree(mapillary / part / 'v1.2')
    assert convert_mapillary('--partial').returncode == 0
    for part, ids in expected.items():
        assert (load(next((mapillary / part / 'v1.2/labels_mask').iterdir())) == ids).all()


def test_version_2_of_mapillary_has_124_classes(convert_mapillary, mapillary):
    assert convert_mapillary('--partial', '--version', 'v2.0').returncode == 0
    ids = load(mapillary / 'training/v2.0/labels_mask/a_-1.png')
    assert ids[0, :66].tolist() == [*range(66)]
    assert (ids[1] == 255).all()


@pytest.mark.parametrize(
    ('missing', 'message'),
    [
        ('validation/v1.2/labels/b.png', 'b.png not found: unpack the archive of Mapillary Vistas'),
        ('training/v1.2/labels', 'training/v1.2/labels not found: unpack the archive of Mapillary Vistas'),
        ('validation/images', 'validation/images not found'),
    ],
)
def test_the_first_missing_thing_of_mapillary_is_named_and_nothing_written(
    convert_mapillary, mapillary, missing, message
):
    (mapillary / missing).rename(mapillary / 'elsewhere')
    assert message in convert_mapillary('--partial').stderr
    assert not list(mapillary.rglob('labels_mask'))


def test_an_incomplete_mapillary_or_an_annotation_of_another_size_is_refused(convert_mapillary, mapillary):
    assert 'found 1, the complete download has 18000' in convert_mapillary().stderr
    save(mapillary / 'validation/v1.2/labels/b.png', np.zeros((6, 71), np.uint8))
    assert 'b.png has height and width (6, 71), but (6, 70) is right' in convert_mapillary('--partial').stderr
    assert not list(mapillary.rglob('labels_mask/b.png'))


# CamVid


@pytest.fixture
def camvid(run_tool, tmp_path):
    return partial(run_tool, 'dataset_converters/camvid.py', tmp_path / 'source', tmp_path / 'camvid', '--workers', 2)


def dataset_of(root, part='train'):
    init_default_scope('mmseg')
    prefix = dict(img_path=f'images/{part}', seg_map_path=f'annotations/{part}')
    return DATASETS.build(dict(type='CamVidDataset', data_root=str(root), data_prefix=prefix))


def segnet_tree(root):
    for part, names in dict(
        train=('0001TP_006690', '0006R0_f00930'), val=('0016E5_07959',), test=('Seq05VD_f00000',)
    ).items():
        for name in names:
            save(root / f'{part}/{name}.png', picture(360, 480))
            save(root / f'{part}annot/{name}.png', np.full((360, 480), 11, np.uint8))
        (root / f'{part}.txt').write_text(''.join(f'/SegNet/CamVid/{part}/{n}.png ...\n' for n in names))


def original_tree(root):
    from_palette = np.zeros((720, 960, 3), np.uint8)
    from_palette[:, 480:] = (192, 128, 64)  # a child
    from_palette[0, 0] = (1, 2, 3)  # a stray pixel
    for name in ('0001TP_006690', '0001TP_008550', '0006R0_f00930', '0016E5_07959', '0016E5_07980', 'Seq05VD_f00000'):
        save(root / f'701_StillsRaw_full/{name}.png', picture(720, 960))
        save(root / f'LabeledApproved_full/{name}_L.png', from_palette)


def test_camvid_of_segnet_becomes_what_its_dataset_class_reads(camvid, tmp_path):
    segnet_tree(tmp_path / 'source')
    done = camvid('--partial')
    assert done.returncode == 0, done.stderr
    for part, count in dict(train=2, val=1, test=1).items():
        dataset = dataset_of(tmp_path / 'camvid', part)
        assert len(dataset) == count
        assert (LoadAnnotations().transform(dataset.get_data_info(0))['gt_seg_map'] == 255).all()
    assert cv2.imread(dataset.get_data_info(0)['img_path']).shape == (360, 480, 3)


def test_the_original_camvid_becomes_the_same_with_11_classes_at_half_size(camvid, tmp_path):
    original_tree(tmp_path / 'source')
    done = camvid('--partial')
    assert done.returncode == 0, done.stderr
    names = {
        part: sorted(p.stem for p in (tmp_path / f'camvid/images/{part}').iterdir())
        for part in ('train', 'val', 'test')
    }
    assert names == dict(
        train=['0001TP_006690', '0006R0_f00930', '0016E5_07980'],
        val=['0016E5_07959'],
        test=['0001TP_008550', 'Seq05VD_f00000'],
    )
    label = load(tmp_path / 'camvid/annotations/train/0001TP_006690.png')
    assert label.shape == (360, 480)
    assert (label[:, :240] == 11).all()
    assert (label[:, 240:] == 9).all()


def test_the_rule_for_original_frames_agrees_with_the_training_list():
    tool = runpy.run_path(str(Path(__file__).parents[2] / 'tools/dataset_converters/camvid.py'))
    train = [name for part in ('labeled', 'unlabeled') for name in read_list(SPLITS / f'camvid/1_8/{part}.txt')]
    assert len(train) == 367
    assert {tool['part_of'](Path(name)) for name in train} == {'train'}
    assert sum(len(colours) for colours in tool['COLOURS'].values()) == 32


@pytest.mark.parametrize('tree', [segnet_tree, original_tree])
def test_an_interrupted_camvid_goes_on_where_it_stopped(camvid, tmp_path, tree):
    tree(tmp_path / 'source')
    source = sorted((tmp_path / 'source').rglob('0006R0_f00930*.png'))[0]
    content = source.read_bytes()
    source.write_bytes(content[:100])
    assert 'unreadable image' in camvid('--partial').stderr
    assert not list((tmp_path / 'camvid').rglob('0006R0_f00930.png'))
    source.write_bytes(content)
    assert camvid('--partial').returncode == 0
    assert 'images with annotations: 0 to do' in camvid('--partial').stdout
    assert not list((tmp_path / 'camvid').rglob('.*'))


@pytest.mark.parametrize('lost', ['images/train/0001TP_006690.jpg', 'annotations/train/0001TP_006690.png'])
def test_an_image_or_annotation_of_camvid_that_got_lost_is_made_again(camvid, tmp_path, lost):
    segnet_tree(tmp_path / 'source')
    camvid('--partial')
    content = (tmp_path / 'camvid' / lost).read_bytes()
    (tmp_path / 'camvid' / lost).unlink()
    assert 'images with annotations: 1 to do' in camvid('--partial').stdout
    assert (tmp_path / 'camvid' / lost).read_bytes() == content


@pytest.mark.parametrize('name', ['thumb', '006690 (1)', '0001TP_006690 (1)', '0001TP_x'])
def test_a_file_that_is_no_frame_of_camvid_is_named(camvid, tmp_path, name):
    original_tree(tmp_path / 'source')
    path = tmp_path / f'source/701_StillsRaw_full/{name}.png'
    save(path, picture(720, 960))
    assert f'{path} is no frame of CamVid' in camvid('--partial').stderr


def test_another_tree_is_refused_with_the_first_missing_folder(camvid, tmp_path):
    assert f'{tmp_path / "source/train"} not found' in camvid().stderr
    (tmp_path / 'source/701_StillsRaw_full').mkdir(parents=True)
    assert f'{tmp_path / "source/LabeledApproved_full"} not found' in camvid().stderr


def test_colours_that_mean_no_class_are_refused(camvid, tmp_path):
    original_tree(tmp_path / 'source')
    wrong = tmp_path / 'source/LabeledApproved_full/0001TP_006690_L.png'
    save(wrong, picture(720, 960))
    assert f'{wrong} has colours that mean no class' in camvid('--partial').stderr


# A folder of one's own


@pytest.fixture
def mine(tmp_path):
    for name in ('a', 'b', 'sub/c'):
        save(tmp_path / f'images/{name}.jpg', picture(6, 8))
    save(tmp_path / 'annotations/b.png', np.array([[0, 1, 255, 2] * 2] * 6, np.uint8))
    return tmp_path


def label_upper_case(root):
    (root / 'images/a.jpg').rename(root / 'images/c.JPG')
    save(root / 'annotations/c.png', np.ones((6, 8), np.uint8))


def test_a_class_that_no_annotation_shows_is_named(check_folder, mine):
    save(mine / 'annotations/b.png', np.array([[0, 1, 255, 0] * 2] * 6, np.uint8))
    done = check_folder('--suffix', '.jpg')
    assert done.returncode == 0, done.stderr
    assert 'No annotation shows id 2' in done.stdout
    assert read_list(mine / 'splits/labeled.txt') == ['b']


@pytest.fixture
def check_folder(run_tool, mine):
    labels = ('--annotations', mine / 'annotations', '--num-classes', 3, '--out', mine / 'splits', '--workers', 2)
    return partial(run_tool, 'dataset_converters/folder.py', mine / 'images', *labels)


def test_a_folder_gives_lists_of_what_is_labelled_and_what_is_not(check_folder, mine):
    done = check_folder()
    assert done.returncode == 0, done.stderr
    assert read_list(mine / 'splits/labeled.txt') == ['b']
    assert read_list(mine / 'splits/unlabeled.txt') == ['a', 'sub/c']


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lambda root: (root / 'images/a.jpg').write_bytes(b'no'), 'unreadable image'),
        (lambda root: save(root / 'annotations/b.png', np.full((6, 8), 3, np.uint8)), 'b.png has the values [3]'),
        (lambda root: save(root / 'annotations/b.png', np.zeros((6, 9), np.uint8)), 'both must show the same pixels'),
        (
            lambda root: save(root / 'annotations/d.png', np.zeros((6, 8), np.uint8)),
            'd.png, less its ending .png, has no',
        ),
        (lambda root: save(root / 'images/a.png', picture(6, 8)), 'differ only in their suffix'),
        (lambda root: label_upper_case(root), 'labelled images end in .jpg, but not'),
        (lambda root: save(root / 'annotations/b.png', np.full((6, 8), 255, np.uint8)), 'masks of 0 and 255 must be'),
    ],
)
def test_what_is_wrong_in_a_folder_is_named_and_no_list_written(check_folder, mine, spoil, message):
    spoil(mine)
    done = check_folder()
    assert done.returncode == 1
    assert message in done.stderr
    assert not (mine / 'splits').exists()


def test_images_to_validate_on_all_need_an_annotation(run_tool, mine):
    tool = ('dataset_converters/folder.py', mine / 'images', '--annotations', mine / 'annotations')
    done = run_tool(*tool, '--num-classes', 3, '--workers', 1)
    assert done.returncode == 1
    assert f'image {mine / "images/a.jpg"} has no annotation' in done.stderr
    for name in ('a', 'sub/c'):
        save(mine / f'annotations/{name}.png', np.zeros((6, 8), np.uint8))
    assert 'All are sound' in run_tool(*tool, '--num-classes', 3, '--workers', 1).stdout
