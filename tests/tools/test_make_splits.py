import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/make_splits.py'


def run(*args):
    return subprocess.run([sys.executable, TOOL, *map(str, args)], capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path):
    for i in range(16):
        path = tmp_path / 'images' / f'city{i % 2}' / f'{i:02}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / 'images'


def read(out):
    return [(out / f'{name}.txt').read_text().split() for name in ('labeled', 'unlabeled')]


def test_a_folder_is_split_into_disjoint_lists_of_names(folder, tmp_path):
    assert run(folder, tmp_path / 'split', '--fraction', '1/4').returncode == 0
    labeled, unlabeled = read(tmp_path / 'split')
    assert len(labeled) == 4
    assert sorted(labeled + unlabeled) == sorted(f'city{i % 2}/{i:02}' for i in range(16))


def test_the_same_arguments_give_the_same_lists_and_another_seed_others(folder, tmp_path):
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        run(folder, tmp_path / name, '--count', 5, '--seed', seed)
    assert read(tmp_path / 'a') == read(tmp_path / 'b') != read(tmp_path / 'c')


def test_a_list_can_be_split(folder, tmp_path):
    (tmp_path / 'list.txt').write_text('a.jpg\nb\nc.d\n')
    run(tmp_path / 'list.txt', tmp_path / 'split', '--count', 1)
    labeled, unlabeled = read(tmp_path / 'split')
    assert sorted(labeled + unlabeled) == ['a', 'b', 'c.d']


@pytest.mark.parametrize(
    ('args', 'message'),
    [(('--count', 16), 'leaves one part empty'), (('--fraction', '1/100'), 'leaves one part empty')],
)
def test_a_split_that_leaves_a_part_empty_is_refused(folder, tmp_path, args, message):
    done = run(folder, tmp_path / 'split', *args)
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / 'split').exists()


def test_a_missing_source_is_named(tmp_path):
    assert f'{tmp_path / "nowhere"} is neither' in run(tmp_path / 'nowhere', tmp_path, '--count', 1).stderr
