import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmseg.registry import DATASETS
from mmseg.utils import register_all_modules

from mmseg_semi.datasets import textured_scenes
from mmseg_semi.datasets.textured_scenes import CLASSES, generate_textured_scenes, render_scene

SMALL = dict(num_labeled=3, num_unlabeled=5, num_val=2, size=(40, 56), seed=7)
PAIRS = (('sky', 'water'), ('land', 'tree'), ('road', 'building'), ('balloon', 'buoy'))


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'scenes'
    generate_textured_scenes(root, **SMALL)
    return root


@pytest.fixture(scope='module')
def scenes():
    return [render_scene('train', index) for index in range(40)]


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def names(root, split):
    return (root / 'splits' / f'{split}.txt').read_text().splitlines()


def test_the_same_seed_gives_the_same_files_whatever_the_global_state(root, tmp_path):
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    generate_textured_scenes(tmp_path / 'again', **SMALL)
    assert contents(tmp_path / 'again') == contents(root)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_seed_split_and_index_each_change_the_scene():
    first = render_scene('train', 0, seed=0)[0]
    for other in (render_scene('train', 0, seed=1), render_scene('val', 0, seed=0), render_scene('train', 1, seed=0)):
        assert (first != other[0]).mean() > 0.5


def test_another_number_of_labels_moves_scenes_and_changes_no_picture(root, tmp_path):
    generate_textured_scenes(tmp_path / 'more', **{**SMALL, 'num_labeled': 5, 'num_unlabeled': 3})
    assert names(tmp_path / 'more', 'labeled') == names(root, 'train')[:5]
    pictures = [{k: v for k, v in contents(r).items() if k.suffix == '.png'} for r in (root, tmp_path / 'more')]
    assert pictures[0] == pictures[1]


def test_splits_are_disjoint_and_cover_the_train_images(root):
    labeled, unlabeled, train = (names(root, split) for split in ('labeled', 'unlabeled', 'train'))
    assert len(labeled) == 3
    assert len(unlabeled) == 5
    assert labeled + unlabeled == train == sorted(path.stem for path in (root / 'images' / 'train').iterdir())
    assert len(set(train)) == 8


def test_every_image_has_a_label_map_of_its_size_with_known_ids(root):
    images = sorted((root / 'images').glob('*/*.png'))
    assert len(images) == 10
    for path in images:
        image = cv2.imread(str(path))
        label = cv2.imread(str(root / 'annotations' / path.parent.name / path.name), cv2.IMREAD_UNCHANGED)
        assert image.shape == (40, 56, 3)
        assert label.shape == (40, 56)
        assert label.dtype == np.uint8
        assert label.max() < len(CLASSES)


@pytest.mark.parametrize('seed', range(3))
def test_the_few_labelled_scenes_of_the_defaults_show_every_class(seed):
    pixels = sum(
        np.bincount(render_scene('train', index, seed=seed)[1].ravel(), minlength=len(CLASSES)) for index in range(16)
    )
    assert (pixels > 300).all()


@pytest.mark.parametrize('pair', PAIRS)
def test_hue_confuses_the_classes_of_a_pair(scenes, pair):
    """The region of the most similar hue, in any other scene, is often of the pair's other class."""
    regions = []
    for scene, (image, label) in enumerate(scenes):
        for name in pair:
            inside = cv2.erode((label == CLASSES.index(name)).astype(np.uint8), np.ones((3, 3))) > 0
            if inside.sum() > 20:
                colour = image[inside].mean(0)
                regions.append((scene, name, colour / colour.sum()))
    nearest = [
        min((np.linalg.norm(f - g), other) for t, other, g in regions if t != scene)[1] for scene, _, f in regions
    ]
    right = np.mean([name == found for (_, name, _), found in zip(regions, nearest, strict=True)])
    assert right < 0.75


def test_context_decides_between_sky_and_water_and_between_balloon_and_buoy(scenes):
    for above, below in (('sky', 'water'), ('balloon', 'buoy')):
        heights = [[], []]
        for _, label in scenes:
            for rows, name in zip(heights, (above, below), strict=True):
                rows.extend(np.nonzero(label == CLASSES.index(name))[0])
        assert np.percentile(heights[0], 75) < np.percentile(heights[1], 25)


def test_calling_again_with_the_same_arguments_returns_at_once(root, monkeypatch):
    monkeypatch.setattr(textured_scenes, 'render_scene', lambda *_: pytest.fail('rendered again'))
    before = {path: path.stat().st_mtime_ns for path in root.rglob('*')}
    generate_textured_scenes(root, **SMALL)
    assert {path: path.stat().st_mtime_ns for path in root.rglob('*')} == before


def test_other_parameters_are_refused_with_the_way_out(root):
    with pytest.raises(FileExistsError, match=r'"seed": 7.*remove this folder or generate the scenes in another one'):
        generate_textured_scenes(root, **{**SMALL, 'seed': 8})


@pytest.mark.parametrize('text', ['', '{', '[]'])
def test_a_spoiled_record_is_refused(tmp_path, text):
    (tmp_path / 'parameters.json').write_text(text)
    with pytest.raises(FileExistsError, match='remove this folder'):
        generate_textured_scenes(tmp_path, **SMALL)


def test_a_folder_with_other_things_or_a_file_is_refused_and_left_alone(tmp_path):
    note = tmp_path / 'note.txt'
    note.write_text('mine')
    for taken in (tmp_path, note):
        with pytest.raises(FileExistsError, match='holds something else'):
            generate_textured_scenes(taken, **SMALL)
    assert list(tmp_path.iterdir()) == [note]
    assert note.read_text() == 'mine'


def test_a_dataset_with_missing_pictures_is_refused(tmp_path):
    generate_textured_scenes(tmp_path, **SMALL)  # an empty folder is no obstacle
    (tmp_path / 'images' / 'train' / 'train_0000.png').unlink()
    with pytest.raises(FileExistsError, match='holds 9 images and 10 annotations, not 10 each'):
        generate_textured_scenes(tmp_path, **SMALL)


def test_an_interrupted_run_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail_late(split, *args):
        if split == 'val':
            raise KeyboardInterrupt
        return render_scene(split, *args)

    monkeypatch.setattr(textured_scenes, 'render_scene', fail_late)
    with pytest.raises(KeyboardInterrupt):
        generate_textured_scenes(tmp_path / 'scenes', **SMALL)
    assert not list(tmp_path.iterdir())


def test_losing_the_race_against_another_process_is_fine(root, tmp_path, monkeypatch):
    def overtaken(draft, target):
        for path, data in contents(root).items():
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(data)
        raise OSError('Directory not empty')

    monkeypatch.setattr(Path, 'rename', overtaken)
    generate_textured_scenes(tmp_path / 'scenes', **SMALL)
    assert contents(tmp_path / 'scenes') == contents(root)


@pytest.mark.parametrize('wrong', [dict(num_labeled=-1), dict(num_val=-2), dict(size=(96, 16)), dict(seed=-1)])
def test_wrong_arguments_are_named(tmp_path, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        generate_textured_scenes(tmp_path / 'scenes', **{**SMALL, **wrong})
    assert not (tmp_path / 'scenes').exists()


def test_the_dataset_class_reads_a_split_through_mmseg(root):
    register_all_modules()
    dataset = DATASETS.build(
        dict(
            type='TexturedScenesDataset',
            data_root=str(root),
            ann_file='splits/labeled.txt',
            data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')],
        )
    )
    assert len(dataset) == 3
    assert dataset.metainfo['classes'] == CLASSES
    assert len({tuple(colour) for colour in dataset.metainfo['palette']}) == len(CLASSES)
    image, label = render_scene('train', 1, SMALL['size'], SMALL['seed'])
    np.testing.assert_array_equal(dataset[1]['inputs'].numpy().transpose(1, 2, 0), image)
    np.testing.assert_array_equal(dataset[1]['data_samples'].gt_sem_seg.data[0].numpy(), label)


def test_the_tool_writes_the_dataset_and_explains_a_taken_folder(root, tmp_path):
    tool = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'textured_scenes.py'
    options = ['--num-labeled', '3', '--num-unlabeled', '5', '--num-val', '2', '--size', '40', '56', '--seed']
    command = [sys.executable, str(tool), str(tmp_path / 'scenes'), *options]
    written = subprocess.run([*command, '7'], capture_output=True, text=True)
    assert written.returncode == 0, written.stderr
    assert contents(tmp_path / 'scenes') == contents(root)
    refused = subprocess.run([*command, '8'], capture_output=True, text=True)
    assert refused.returncode == 2
    assert 'remove this folder or generate the scenes in another one' in refused.stderr
