import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import DATASETS

from mmseg_semi.datasets import CamVidDataset, SemiDataset, UnlabeledDataset, semi_collate


@pytest.fixture
def folder(tmp_path):
    for name in ('b.jpg', 'a.PNG', 'sub/c.webp', 'notes.txt', '.thumbnails/d.jpg'):
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(dataset):
    return [info['img_path'].split('images/')[1] for info in (dataset.get_data_info(i) for i in range(len(dataset)))]


def test_a_plain_folder_gives_all_its_images_in_order(folder):
    assert names(UnlabeledDataset(data_prefix=dict(img_path=str(folder / 'images')))) == [
        'a.PNG',
        'b.jpg',
        'sub/c.webp',
    ]


@pytest.mark.parametrize('lines', ['sub/c\nb\n', 'sub/c.webp\nb.jpg\n'])
def test_a_list_may_leave_out_suffixes(folder, lines):
    (folder / 'list.txt').write_text(lines)
    dataset = UnlabeledDataset(data_root=str(folder), data_prefix=dict(img_path='images'), ann_file='list.txt')
    assert names(dataset) == ['sub/c.webp', 'b.jpg']


def test_a_suffix_that_a_list_leaves_out_may_be_in_upper_case(folder):
    (folder / 'list.txt').write_text('a\nb\n')
    dataset = UnlabeledDataset(data_root=str(folder), data_prefix=dict(img_path='images'), ann_file='list.txt')
    assert names(dataset) == ['a.PNG', 'b.jpg']


@pytest.mark.parametrize('options', [dict(data_prefix=dict(img_path='nowhere')), dict(ann_file='nowhere.txt')])
def test_what_is_missing_is_named(folder, options):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        UnlabeledDataset(**{'data_root': str(folder), 'data_prefix': dict(img_path='images'), **options})


def test_camvid_ignores_its_unlabelled_class(tmp_path):
    for part in ('images', 'annotations'):
        (tmp_path / part).mkdir()
    cv2.imwrite(str(tmp_path / 'images/a.jpg'), np.zeros((3, 4, 3), np.uint8))
    cv2.imwrite(str(tmp_path / 'annotations/a.png'), np.arange(12, dtype=np.uint8).reshape(3, 4))
    prefix = dict(img_path='images', seg_map_path='annotations')
    dataset = CamVidDataset(data_root=str(tmp_path), data_prefix=prefix)
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == 11
    label = LoadAnnotations().transform(dataset.get_data_info(0))['gt_seg_map']
    assert label.flatten().tolist() == [*range(11), 255]


def test_a_sample_says_which_part_it_is_of_and_an_unlabelled_one_gives_its_views(tiny_config):
    init_default_scope('mmseg')
    dataset = DATASETS.build(tiny_config().train_dataloader.dataset)
    assert len(dataset) == 10
    assert list(dataset[3]['inputs']) == ['labeled']
    assert list(dataset[4]['inputs']) == ['weak', 'strong']
    assert 'gt_sem_seg' not in dataset[4]['data_samples']['weak']
    batch = semi_collate([dataset[0], dataset[4], dataset[5]])
    assert {view: len(images) for view, images in batch['inputs'].items()} == dict(labeled=1, weak=2, strong=2)


def test_an_image_that_cannot_be_read_is_named(tiny_config, tmp_path):
    init_default_scope('mmseg')
    cfg = tiny_config().train_dataloader.dataset
    dataset = DATASETS.build(cfg)
    path = dataset.get_data_info(4)['img_path']
    cfg.unlabeled.data_root, cfg.unlabeled.ann_file = str(tmp_path), ''
    cfg.unlabeled.data_prefix = dict(img_path='')
    (tmp_path / 'broken.png').write_bytes(Path(path).read_bytes()[:50])
    with pytest.raises(RuntimeError, match=r'cannot prepare unlabeled image .*broken\.png'):
        DATASETS.build(cfg)[4]


def scenes_with(tiny_config, root, **options):
    init_default_scope('mmseg')
    cfg = tiny_config().train_dataloader.dataset
    cfg.labeled.data_root = cfg.unlabeled.data_root = str(root)
    return DATASETS.build({**cfg, **options})


def test_a_suffix_in_capitals_finds_the_images_of_a_folder(folder):
    for name in ('a_leftImg8bit.png', 'a_gtFine_labelIds.png', 'b_leftImg8bit.PNG'):
        (folder / 'images' / name).touch()
    dataset = UnlabeledDataset(data_prefix=dict(img_path=str(folder / 'images')), img_suffix='_leftImg8bit.png')
    assert names(dataset) == ['a_leftImg8bit.png', 'b_leftImg8bit.PNG']


def test_comments_in_lists_are_skipped_whatever_the_class_of_dataset(tiny_config, tiny_data, tmp_path):
    root = shutil.copytree(tiny_data, tmp_path / 'scenes')
    for part in ('labeled', 'unlabeled'):
        path = root / f'splits/{part}.txt'
        path.write_text(f'# {part}: made by a/tool\n#\n{path.read_text()}', encoding='utf-8-sig')  # as Notepad does
    dataset = scenes_with(tiny_config, root)
    assert dataset.source_sizes == [4, 6]
    assert [dataset.get_data_info(i)['img_path'][-14:-4] for i in (0, 4)] == ['train_0000', 'train_0004']


def test_a_labelled_image_is_unlabelled_too_only_where_the_config_says_so(tiny_config, tiny_data):
    def whole_folder(**options):
        cfg = tiny_config().train_dataloader.dataset.unlabeled
        return scenes_with(tiny_config, tiny_data, unlabeled={**cfg, 'ann_file': ''}, **options)

    assert whole_folder().source_sizes == [4, 6]
    assert whole_folder(labeled_as_unlabeled=True).source_sizes == [4, 10]


def test_saying_so_is_refused_where_no_labelled_image_is_in_the_unlabelled_list(tiny_config, tiny_data):
    with pytest.raises(ValueError, match=r"name them in its ann_file='.*unlabeled.txt' too, or leave it empty"):
        scenes_with(tiny_config, tiny_data, labeled_as_unlabeled=True)


def test_colours_left_to_the_device_are_refused_where_they_would_get_lost(tiny_config, tiny_data):
    labeled = tiny_config().train_dataloader.dataset.labeled
    labeled.pipeline.insert(-1, dict(type='StrongPhotometric', on_device=True))
    with pytest.raises(ValueError, match=r'labeled part of SemiDataset has StrongPhotometric\(on_device=True\)'):
        scenes_with(tiny_config, tiny_data, labeled=labeled)


def test_several_datasets_in_one_part_are_refused_with_the_way_out(tiny_config, tiny_data):
    labeled = tiny_config().train_dataloader.dataset.labeled
    both = dict(type='ConcatDataset', datasets=[labeled, labeled])
    with pytest.raises(ValueError, match='labeled part of SemiDataset is a ConcatDataset: give one dataset'):
        scenes_with(tiny_config, tiny_data, labeled=both)


def test_an_unlabelled_part_of_labelled_images_alone_is_refused_with_the_way_out(tiny_config, tiny_data):
    cfg = tiny_config().train_dataloader.dataset.unlabeled
    with pytest.raises(ValueError, match=r'unlabeled part of SemiDataset has no image.*labeled_as_unlabeled=True'):
        scenes_with(tiny_config, tiny_data, unlabeled={**cfg, 'ann_file': 'splits/labeled.txt'})


def test_labels_without_classes_are_refused(tiny_config, tiny_data):
    labeled = dict(tiny_config().train_dataloader.dataset.labeled, type='BaseSegDataset', img_suffix='.png')
    with pytest.raises(ValueError, match='a BaseSegDataset, names no classes: set its metainfo'):
        SemiDataset(labeled=labeled)
