import pytest
from mmengine.config import Config

from mmseg_semi.utils.config import load_config


@pytest.mark.parametrize(
    'name', ['mmseg::_base_/models/pspnet_r50-d8.py', 'mmseg_semi::_base_/methods/fixmatch.py'], ids=['mmseg', 'ours']
)
def test_an_installed_config_is_read_by_its_name_and_settings_override_it(name, tmp_path):
    (tmp_path / 'config.py').write_text(f'_base_ = {name!r}\n')
    read = load_config(name, {'added.deep': 3})
    assert read.pop('added') == dict(deep=3)
    assert read.keys() == Config.fromfile(tmp_path / 'config.py').keys()


@pytest.mark.parametrize(
    ('base', 'named'),
    [
        ('./wrong.py', r'wrong\.py'),
        ('mmseg_semi::unimatch/wrong.py', r'unimatch/wrong\.py'),
        ('mmsegsemi::unimatch/wrong.py', 'does not support to load mmsegsemi config'),
    ],
)
def test_a_config_whose_base_is_missing_is_refused_in_a_sentence_that_names_both(base, named, tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(f'_base_ = {base!r}\n')
    with pytest.raises(SystemExit, match=rf'the config {path} cannot be read: .*{named}'):
        load_config(str(path))


@pytest.mark.parametrize('name', ['work_dirs/wrong.py', 'mmdet::wrong/wrong.py', 'mmseg_semi::unimatch/wrong.py'])
def test_a_config_that_is_not_there_is_refused_in_a_sentence_that_names_it(name):
    with pytest.raises(SystemExit, match=rf'(there is no|the) config {name}'):
        load_config(name)
