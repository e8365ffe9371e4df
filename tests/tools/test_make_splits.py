import re
from functools import partial

import cv2
import numpy as np
import pytest

from mmseg_semi.datasets.splits import read_list


@pytest.fixture
def run(run_tool):
    return partial(run_tool, 'dataset_converters/make_splits.py')


@pytest.fixture
def folder(tmp_path):
    for i in range(16):
        path = tmp_path / 'images' / f'city{i % 2}' / f'{i:02}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / 'images'


@pytest.fixture
def annotations(tmp_path):
    """Class 0 everywhere, 1 in every fourth image, 2 in one, 3 in another, 4 nowhere, 5 and 255 to be ignored."""
    for i in range(16):
        path = tmp_path / 'annotations' / f'city{i % 2}' / f'{i:02}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        label = np.array([[0, 255, 5, 1 if i % 4 == 0 else 0, {3: 2, 9: 3}.get(i, 0)]], np.uint8)
        cv2.imwrite(str(path), label)
    return tmp_path / 'annotations', '--num-classes', 5


def read(out):
    return [read_list(out / f'{name}.txt') for name in ('labeled', 'unlabeled')]


def test_a_folder_is_split_into_disjoint_lists_of_names(run, folder, tmp_path):
    assert run(folder, tmp_path / 'split', '--fraction', '1/4').returncode == 0
    labeled, unlabeled = read(tmp_path / 'split')
    assert len(labeled) == 4
    assert sorted(labeled + unlabeled) == sorted(f'city{i % 2}/{i:02}' for i in range(16))


def test_lists_say_how_they_were_made(run, folder, tmp_path):
    run(folder, tmp_path / 'split', '--fraction', '1/4', '--seed', 3)
    for part, count in (('labeled', 4), ('unlabeled', 12)):
        first = (tmp_path / f'split/{part}.txt').read_text().splitlines()[0]
        assert first.startswith(f'# {part}: {count} of 16 images (fingerprint ')
        assert '4 labelled, drawn at random with seed 3' in first


def test_the_same_arguments_give_the_same_lists_and_another_seed_others(run, folder, tmp_path):
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        run(folder, tmp_path / name, '--count', 5, '--seed', seed)
    assert (tmp_path / 'a/labeled.txt').read_bytes() == (tmp_path / 'b/labeled.txt').read_bytes()
    assert read(tmp_path / 'a') == read(tmp_path / 'b') != read(tmp_path / 'c')


def test_lists_are_the_ones_that_any_platform_makes(run, folder, tmp_path):
    run(folder, tmp_path / 'split', '--count', 3)
    assert read(tmp_path / 'split')[0] == ['city0/00', 'city0/10', 'city1/11']


def test_a_smaller_labelled_part_lies_in_a_larger_one(run, folder, tmp_path):
    for count in (3, 8):
        run(folder, tmp_path / str(count), '--count', count)
    assert set(read(tmp_path / '3')[0]) < set(read(tmp_path / '8')[0])


def test_excluded_images_are_in_neither_part(run, folder, tmp_path):
    run(folder, tmp_path / 'train', '--count', 5)
    run(folder, tmp_path / 'more', '--count', 3, '--seed', 1)
    lists = [tmp_path / name / 'labeled.txt' for name in ('train', 'more')]
    done = run(folder, tmp_path / 'held_out', '--count', 4, '--exclude', *lists)
    assert done.returncode == 0, done.stderr
    used, (labeled, unlabeled) = {name for path in lists for name in read_list(path)}, read(tmp_path / 'held_out')
    assert len(labeled) == 4
    assert len(labeled) + len(unlabeled) == 16 - len(used)
    assert not used & {*labeled, *unlabeled}


def test_an_excluded_image_that_is_not_there_is_named(run, folder, tmp_path):
    (tmp_path / 'list.txt').write_text('city0/00\nelsewhere\n')
    done = run(folder, tmp_path / 'split', '--count', 1, '--exclude', tmp_path / 'list.txt')
    assert f"list.txt excludes 'elsewhere', which is not in {folder}" in done.stderr
    assert not (tmp_path / 'split').exists()


def test_a_list_can_be_split(run, tmp_path):
    (tmp_path / 'list.txt').write_text('# of mine\na.jpg\nb\nc.d\n')
    run(tmp_path / 'list.txt', tmp_path / 'split', '--count', 1)
    labeled, unlabeled = read(tmp_path / 'split')
    assert sorted(labeled + unlabeled) == ['a', 'b', 'c.d']


@pytest.mark.parametrize('seed', range(4))
def test_the_labelled_part_shows_every_class_and_one_without_an_image_is_named(
    run, folder, annotations, tmp_path, seed
):
    done = run(folder, tmp_path / 's', '--count', 3, '--annotations', *annotations, '--seed', seed, '--workers', 1)
    labeled = read(tmp_path / 's')[0]
    assert {'city1/03', 'city1/09'} < set(labeled)
    assert any(int(name[-2:]) % 4 == 0 for name in labeled)
    assert 'no image shows the classes [4]' in done.stdout
    assert 'lacks' not in done.stdout


def test_too_few_images_for_all_classes_are_said_to_lack_some(run, folder, annotations, tmp_path):
    done = run(folder, tmp_path / 's', '--count', 1, '--annotations', *annotations, '--workers', 1)
    assert '1 images are too few to show all classes: the labelled part lacks [' in done.stdout
    for part in ('labeled', 'unlabeled'):
        header = (tmp_path / f's/{part}.txt').read_text().splitlines()[0]
        assert re.search(r'drawn covering 5 classes first \(lacks \[(\d, )+4\]\) with seed 0', header), header


def test_classes_that_were_not_looked_at_are_not_claimed(run, folder, tmp_path):
    done = run(folder, tmp_path / 's', '--count', 3)
    assert 'classes not looked at: give --annotations' in done.stdout
    assert 'class' not in (tmp_path / 's/labeled.txt').read_text()


def test_balanced_classes_are_shown_by_as_many_images_as_there_are(run, folder, annotations, tmp_path):
    run(folder, tmp_path / 's', '--count', 8, '--annotations', *annotations, '--balance', '--workers', 2)
    shown = {int(name[-2:]) for name in read(tmp_path / 's')[0]}
    assert {0, 4, 8, 12, 3, 9} < shown  # all that show the classes 1, 2 and 3
    assert 'covering 5 classes first, then balancing them (lacks [4])' in (tmp_path / 's/labeled.txt').read_text()


def test_colours_are_no_class_ids(run, folder, annotations, tmp_path):
    cv2.imwrite(str(annotations[0] / 'city0/04.png'), np.zeros((1, 5, 3), np.uint8))
    done = run(folder, tmp_path / 's', '--count', 3, '--annotations', *annotations, '--workers', 1)
    assert 'city0/04.png has shape (1, 5, 3): an annotation is an image of ids, one channel' in done.stderr
    assert not (tmp_path / 's').exists()


@pytest.mark.parametrize('line', ['JPEGImages/a.jpg SegmentationClass/a.png', 'a.jpg,a.png', 'a.png\ta.png'])
def test_a_list_of_pairs_is_refused_with_the_way_out(run, tmp_path, line):
    (tmp_path / 'list.txt').write_text(f'b.jpg\n{line}\n')
    done = run(tmp_path / 'list.txt', tmp_path / 'split', '--count', 1)
    assert done.returncode == 1
    assert f'the line {line!r} of {tmp_path / "list.txt"} is more than a name' in done.stderr
    assert 'import_splits.py' in done.stderr
    assert not (tmp_path / 'split').exists()


def test_names_in_a_list_may_have_spaces(run, tmp_path):
    (tmp_path / 'list.txt').write_text('my cars/7.jpg\na b\n')
    run(tmp_path / 'list.txt', tmp_path / 'split', '--count', 1)
    labeled, unlabeled = read(tmp_path / 'split')
    assert sorted(labeled + unlabeled) == ['a b', 'my cars/7']


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (('--count', 16), 'leaves one part empty'),
        (('--fraction', '1/100'), 'leaves one part empty'),
        (('--fraction', '1/0'), "argument --fraction: '1/0' is no fraction such as 1/8"),
        (('--fraction', 'half'), "argument --fraction: 'half' is no fraction such as 1/8"),
        (('--count', 3, '--balance'), '--balance needs --annotations'),
        (('--count', 3, '--annotations', 'x'), '--annotations and --num-classes go together'),
        (('--count', 3, '--annotations', 'x', '--num-classes', 2, '--workers', 1), 'not found: x/city0/00.png'),
    ],
)
def test_what_cannot_be_split_is_refused_and_nothing_written(run, folder, tmp_path, args, message):
    done = run(folder, tmp_path / 'split', *args)
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / 'split').exists()


def test_a_missing_source_is_named(run, tmp_path):
    assert f'{tmp_path / "nowhere"} is neither' in run(tmp_path / 'nowhere', tmp_path, '--count', 1).stderr


def test_linked_folders_are_looked_into_and_hidden_files_are_not(run, folder, tmp_path):
    (tmp_path / 'root').mkdir()
    (tmp_path / 'root/linked').symlink_to(folder)
    (tmp_path / 'root/.checkpoints').mkdir()
    for name in ('.hidden.png', '.checkpoints/copy.png'):
        (tmp_path / 'root' / name).touch()
    run(tmp_path / 'root', tmp_path / 'split', '--count', 1)
    names = [name for part in read(tmp_path / 'split') for name in part]
    assert len(names) == 16
    assert all(name.startswith('linked/city') for name in names)
