import re
import shutil
from functools import partial

import cv2
import numpy as np
import pytest

from mmseg_semi.datasets.splits import write_list


@pytest.fixture
def scenes(tiny_config, tiny_data, tmp_path):
    """Config and root of a dataset of its own, which a test may spoil."""
    root = shutil.copytree(tiny_data, tmp_path / 'scenes')
    cfg = tiny_config()
    for part in (cfg.train_dataloader.dataset.labeled, cfg.train_dataloader.dataset.unlabeled):
        part.data_root = str(root)
    cfg.val_dataloader.dataset.data_root = cfg.test_dataloader.dataset.data_root = str(root)
    return cfg, root


def relabel(root, change):
    for path in (root / 'annotations/train').iterdir():
        cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)).astype(np.uint8))


@pytest.fixture
def check(run_tool, scenes, tmp_path):
    def check(*args):
        scenes[0].dump(tmp_path / 'config.py')
        run = partial(run_tool, 'dataset_converters/check_dataset.py', tmp_path / 'config.py')
        return run('--workers', 2, '--out', tmp_path / 'page.png', '--rows', 2, *args)

    return check


def test_sound_data_give_no_problem_class_frequencies_and_a_page(check, tmp_path):
    done = check()
    assert done.returncode == 0, done.stdout + done.stderr
    for kind in ('missing', 'unreadable', 'mismatched', 'out of range', 'duplicated', 'leaking', 'absent'):
        assert f'{kind}: none' in done.stdout
    sky = next(line for line in done.stdout.splitlines() if line.startswith('sky'))
    assert sky.split()[1].endswith('%')
    assert sky.split()[2] == '4'
    page = cv2.imread(str(tmp_path / 'page.png'))
    assert page.shape[0] > 2 * 192
    assert page.shape[1] > 5 * 192  # labelled image and annotation, weak, strong, region
    assert page.std() > 30


@pytest.mark.parametrize(
    ('spoil', 'problem'),
    [
        (lambda root: (root / 'images/train/train_0007.png').unlink(), 'missing: 1\n  unlabeled: image not found'),
        (
            lambda root: (root / 'images/val/val_0001.png').write_bytes(b'?'),
            'unreadable: 1\n  val: unreadable image',
        ),
        (
            lambda root: cv2.imwrite(str(root / 'annotations/train/train_0001.png'), np.zeros((9, 9), np.uint8)),
            'mismatched: 1\n  labeled:',
        ),
        (
            lambda root: cv2.imwrite(str(root / 'annotations/val/val_0001.png'), np.full((40, 48), 8, np.uint8)),
            'out of range: 1\n  val: annotation',
        ),
        (
            lambda root: shutil.copy(root / 'images/train/train_0005.png', root / 'images/train/train_0006.png'),
            'duplicated: 1\n  unlabeled:',
        ),
        (
            lambda root: shutil.copy(root / 'images/train/train_0000.png', root / 'images/val/val_0000.png'),
            'leaking: 1\n  labeled/val:',
        ),
        (
            lambda root: shutil.copy(root / 'images/train/train_0000.png', root / 'images/train/train_0009.png'),
            'leaking: 1\n  labeled/unlabeled:',
        ),
        (
            lambda root: relabel(root, lambda label: np.where(label == 0, 1, label)),
            'absent: 1\n  labeled: no annotation shows sky',
        ),
        (
            lambda root: relabel(root, lambda label: np.where(label == 1, 255, 0)),
            'absent: 1\n  labeled: no annotation shows ',
        ),
    ],
    ids=[
        'missing',
        'unreadable',
        'mismatched',
        'out of range',
        'duplicated',
        'leaking to val',
        'leaking to unlabelled',
        'absent class',
        'all of one class',
    ],
)
def test_each_kind_of_problem_is_reported_with_its_part(check, scenes, spoil, problem):
    spoil(scenes[1])
    done = check()
    assert done.returncode == 1
    assert problem in done.stdout


def test_all_problems_are_counted_and_the_first_of_them_shown(check, scenes):
    for i in (4, 5, 6):
        (scenes[1] / f'images/train/train_000{i}.png').unlink()
    out = check('--show', 2).stdout
    assert 'missing: 3' in out
    assert 'and 1 more; --show 3 names all' in out


def test_annotations_of_unlabelled_images_are_not_read(check, scenes):
    for i in range(4, 10):
        (scenes[1] / f'annotations/train/train_000{i}.png').write_bytes(b'?')
    assert check().returncode == 0


@pytest.mark.parametrize(
    ('tool', 'needs'),
    [
        ('dataset_converters/check_dataset.py', 'cv2'),
        ('analysis_tools/grad_cam.py', 'pytorch_grad_cam'),
        ('analysis_tools/feature_tsne.py', 'sklearn'),
    ],
)
def test_a_picture_that_could_not_be_written_is_refused_before_the_work(run_tool, tool, needs):
    pytest.importorskip(needs)
    done = run_tool(tool, 'config.py', '--out', 'page.pdf')
    assert done.returncode == 2
    assert "'page.pdf' says not which kind of image to write: end it in .png or .jpg" in done.stderr


def test_a_missing_list_is_one_sentence(check, scenes):
    scenes[0].train_dataloader.dataset.labeled.ann_file = 'splits/nowhere.txt'
    done = check()
    assert done.returncode == 1
    assert 'train_dataloader: ' in done.stderr
    assert 'nowhere.txt' in done.stderr


def test_a_supervised_config_is_checked_too(check, scenes, tmp_path):
    cfg = scenes[0]
    cfg.train_dataloader.dataset = cfg.train_dataloader.dataset.labeled
    done = check()
    assert done.returncode == 0, done.stderr
    assert 'unlabeled' not in done.stdout


def test_parts_that_share_images_by_design_are_drawn_and_do_not_leak(check, scenes, tmp_path):
    part = scenes[0].train_dataloader.dataset
    part.coarse = dict(part.labeled, ann_file='splits/unlabeled.txt', indices=[0, 1, 2])
    part.pseudo_labeled = dict(
        part.labeled, type='PseudoLabeledDataset', ann_file='splits/unlabeled.txt', indices=[3, 4, 5]
    )
    done = check()
    assert done.returncode == 0, done.stdout + done.stderr
    assert cv2.imread(str(tmp_path / 'page.png')).shape[1] > 9 * 192  # two more parts, image and annotation


def test_annotations_of_unlabelled_images_that_are_read_are_checked(check, scenes):
    cfg, root = scenes
    part = cfg.train_dataloader.dataset
    loading = dict(type='LoadUnlabeledImage', diagnose=True)
    pipeline = [loading, *part.unlabeled.pipeline[1:]]
    part.unlabeled = dict(part.labeled, ann_file='splits/unlabeled.txt', pipeline=pipeline)
    (root / 'annotations/train/train_0007.png').write_bytes(b'?')
    assert 'unreadable: 1\n  unlabeled: unreadable annotation' in check().stdout


def test_a_training_set_that_is_repeated_is_checked_and_one_of_several_refused(check, scenes):
    cfg = scenes[0]
    labeled = cfg.train_dataloader.dataset.labeled
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=3, dataset=labeled)
    done = check()
    assert done.returncode == 0, done.stderr
    assert 'labeled: 4 images' in done.stdout
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[labeled, labeled])
    assert check().stderr.startswith('train_dataloader: a ConcatDataset is not looked into: give a config with one')


@pytest.mark.parametrize('part', ['train', 'val'])
def test_lines_of_comment_that_mmseg_takes_for_images_are_named_with_the_way_out(check, scenes, part):
    cfg, root = scenes
    cfg.train_dataloader.dataset = cfg.train_dataloader.dataset.labeled
    names = [path.stem for path in sorted((root / f'images/{part}').iterdir())]
    write_list(root / 'commented.txt', names[:2], 'labeled: made by make_splits.py')
    cfg[f'{part}_dataloader'].dataset.ann_file = 'commented.txt'
    done = check()
    assert done.returncode == 1
    assert re.match(f'{part}_dataloader: .*commented.txt has lines of comment, .* SemiDataset', done.stderr)


def test_a_validation_set_without_images_is_one_sentence(check, scenes):
    cfg, root = scenes
    (root / 'empty.txt').touch()
    cfg.val_dataloader.dataset.ann_file = 'empty.txt'
    assert check().stderr.startswith('val_dataloader: the dataset has no image: check its data_root, data_prefix=')


def test_a_config_may_say_that_it_trains_on_its_test_set(check, scenes):
    cfg = scenes[0]
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.test_dataloader.dataset = cfg.train_dataloader.dataset.labeled
    assert 'leaking: 4\n  labeled/test:' in check().stdout
    cfg.trains_on_test = True
    done = check('--workers', 0)
    assert done.returncode == 0, done.stdout + done.stderr


def test_columns_stay_where_they_are_when_views_share_a_map_in_some_rows_only(run_tool, tiny_config, tmp_path):
    cfg = tiny_config('UniMatch')
    for steps in (cfg.train_dataloader.dataset.unlabeled.pipeline[-1][view] for view in ('strong1', 'strong2')):
        steps[0].prob = 0.5
    cfg.dump(tmp_path / 'config.py')
    widths = set()
    for seed in range(4):
        page = tmp_path / f'{seed}.png'
        done = run_tool('dataset_converters/check_dataset.py', tmp_path / 'config.py', '--out', page, '--seed', seed)
        assert done.returncode == 0, done.stderr
        widths.add(cv2.imread(str(page)).shape[1])
    assert len(widths) == 1
