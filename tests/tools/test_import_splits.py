from functools import partial

import pytest

from mmseg_semi.datasets.splits import read_list


@pytest.fixture
def run(run_tool):
    return partial(run_tool, 'dataset_converters/import_splits.py')


@pytest.fixture
def voc(tmp_path):
    (tmp_path / 'JPEGImages').mkdir()
    for name in ('2007_000032', '2007_000039', '2007_000063', '2007_000068'):
        (tmp_path / f'JPEGImages/{name}.jpg').touch()
    return tmp_path


@pytest.mark.parametrize(
    'form',
    [
        '{}',
        '{}.jpg',
        'JPEGImages/{}.jpg SegmentationClass/{}.png',
        '/JPEGImages/{}.jpg /SegmentationClassAug/{}.png',
        'VOC2012/JPEGImages/{}.jpg\tVOC2012/SegmentationClassAug/{}.png',
        './JPEGImages/{}.jpg,./SegmentationClass/{}.png',
    ],
)
def test_ids_paths_and_pairs_mean_the_same_image(run, voc, form):
    for part, names in dict(a=['2007_000063', '2007_000032'], b=['2007_000039']).items():
        (voc / f'{part}.txt').write_text(''.join(form.replace('{}', name) + '\r\n' for name in names))
    done = run(voc / 'JPEGImages', voc / 'out', '--labeled', voc / 'a.txt', '--unlabeled', voc / 'b.txt')
    assert done.returncode == 0, done.stderr
    assert read_list(voc / 'out/labeled.txt') == ['2007_000063', '2007_000032']
    assert read_list(voc / 'out/unlabeled.txt') == ['2007_000039']
    assert (voc / 'out/labeled.txt').read_text().startswith('# labeled: 2 images, imported from a.txt\n')


@pytest.mark.parametrize(
    'form',
    [
        'leftImg8bit/train/{city}/{id}_leftImg8bit.png gtFine/train/{city}/{id}_gtFine_labelIds.png',
        'train/{city}/{id}_leftImg8bit.png',
        '{city}/{id}',
        '{id}',
    ],
)
def test_cityscapes_lists_are_read(run, tmp_path, form):
    images = tmp_path / 'leftImg8bit/train'
    for name in ('aachen/aachen_000000_000019', 'ulm/ulm_000003_000019'):
        (images / name).parent.mkdir(parents=True)
        (images / f'{name}_leftImg8bit.png').touch()
    lines = [form.format(city=i.split('_')[0], id=i) for i in ('aachen_000000_000019', 'ulm_000003_000019')]
    (tmp_path / 'labeled.txt').write_text(lines[1])
    (tmp_path / 'train.txt').write_text('\n'.join(lines))
    done = run(
        images, tmp_path / 'out', '--labeled', tmp_path / 'labeled.txt', '--train', tmp_path / 'train.txt',
        '--suffix', '_leftImg8bit.png',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert read_list(tmp_path / 'out/labeled.txt') == ['ulm/ulm_000003_000019']
    assert read_list(tmp_path / 'out/unlabeled.txt') == ['aachen/aachen_000000_000019']


def test_an_image_that_is_not_there_is_named_with_its_line(run, voc):
    (voc / 'a.txt').write_text('2007_000032\n2099_000001\n')
    done = run(voc / 'JPEGImages', voc / 'out', '--labeled', voc / 'a.txt', '--train', voc / 'a.txt')
    assert done.returncode == 1
    assert "a.txt: the line '2099_000001' names no image of the folder" in done.stderr
    assert not (voc / 'out').exists()


def test_an_id_of_two_images_is_refused(run, voc):
    for folder in 'xy':
        (voc / 'JPEGImages' / folder).mkdir()
        (voc / f'JPEGImages/{folder}/1.jpg').touch()
    (voc / 'a.txt').write_text('1\n')
    done = run(voc / 'JPEGImages', voc / 'out', '--labeled', voc / 'a.txt', '--train', voc / 'a.txt')
    assert "the line '1' could be x/1 or y/1" in done.stderr


def test_a_path_means_no_image_of_another_folder(run, voc):
    (voc / 'JPEGImages/b').mkdir()
    (voc / 'JPEGImages/b/1.jpg').touch()
    (voc / 'all.txt').write_text('JPEGImages/b/1.jpg\n2007_000032\n')
    for line in ('1', 'b/1.jpg', 'a/1.jpg'):
        (voc / 'a.txt').write_text(line)
        done = run(voc / 'JPEGImages', voc / 'out', '--labeled', voc / 'a.txt', '--train', voc / 'all.txt')
        assert (done.returncode == 0) == (line != 'a/1.jpg')
    assert "the line 'a/1.jpg' names no image of the folder" in done.stderr


@pytest.mark.parametrize('form', ['{}', '{}.jpg', 'JPEGImages/{}.jpg', 'JPEGImages/{}.jpg SegmentationClass/{}.png'])
@pytest.mark.parametrize('name', ['a street, wet', 'my cars/7'])
def test_names_may_have_spaces_and_commas(run, voc, name, form):
    (voc / f'JPEGImages/{name}.jpg').parent.mkdir(exist_ok=True)
    (voc / f'JPEGImages/{name}.jpg').touch()
    (voc / 'a.txt').write_text(form.replace('{}', name))
    (voc / 'b.txt').write_text('2007_000032')
    done = run(voc / 'JPEGImages', voc / 'out', '--labeled', voc / 'a.txt', '--unlabeled', voc / 'b.txt')
    assert done.returncode == 0, done.stderr
    assert read_list(voc / 'out/labeled.txt') == [name]


def test_the_name_of_the_annotation_means_no_image(run, voc):
    (voc / 'a.txt').write_text('JPEGImages/2007_000032 SegmentationClass/2007_000039\n')
    (voc / 'b.txt').write_text('2007_000063')
    run(voc / 'JPEGImages', voc / 'out', '--labeled', voc / 'a.txt', '--unlabeled', voc / 'b.txt')
    assert read_list(voc / 'out/labeled.txt') == ['2007_000032']


def test_an_image_in_both_lists_is_refused_with_the_way_out(run, voc):
    (voc / 'a.txt').write_text('2007_000032\n')
    (voc / 'b.txt').write_text('2007_000032\n2007_000039\n')
    both = (voc / 'JPEGImages', voc / 'out', '--labeled', voc / 'a.txt')
    done = run(*both, '--unlabeled', voc / 'b.txt')
    assert '1 images are in both lists, such as 2007_000032: give' in done.stderr
    assert run(*both, '--train', voc / 'b.txt').returncode == 0
    assert read_list(voc / 'out/unlabeled.txt') == ['2007_000039']
