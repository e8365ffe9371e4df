import pytest
import torch

from mmseg_semi.utils.files import check_checkpoint


@pytest.mark.parametrize('zipped', [True, False])
def test_a_checkpoint_of_either_format_of_torch_is_taken(tmp_path, zipped):
    torch.save(dict(state_dict={}), tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    check_checkpoint(tmp_path / 'a.pth')
    check_checkpoint('https://example.org/a.pth')


@pytest.mark.parametrize('content', ['first part', 'page', 'nothing'])
def test_a_file_that_is_no_whole_checkpoint_is_named(tmp_path, content):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=dict(weight=torch.zeros(1000))), path)
    path.write_bytes({'first part': path.read_bytes()[:-100], 'page': b'<html>', 'nothing': b''}[content])
    with pytest.raises(SystemExit, match=f'{path} is no checkpoint, or the first part of one alone'):
        check_checkpoint(path)
