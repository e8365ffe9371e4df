import pickle
import subprocess
import sys

import mmcv
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from torch._tensor import _rebuild_from_type_v2

from mmseg_semi.compat import check_versions, prepare_mmengine


@pytest.mark.parametrize('version', ['1.7.0', '3.0.0'])
def test_an_unsupported_version_is_refused_with_what_to_install(monkeypatch, version):
    monkeypatch.setattr(mmcv, '__version__', version)
    message = rf'needs mmcv >= .*, but {version} is installed; install a supported version with pip install -e '
    with pytest.raises(ImportError, match=message):
        check_versions()


@pytest.mark.parametrize(
    ('before', 'named'),
    [("import sys; sys.modules['mmengine'] = None", 'mmengine'), ("import mmcv; mmcv.__version__ = '2.9.0'", 'mmseg')],
    ids=['no mmengine', 'mmcv too new for mmseg'],
)
def test_what_cannot_be_imported_is_named_with_what_to_install(before, named):
    done = subprocess.run([sys.executable, '-c', f'{before}; import mmseg_semi'], capture_output=True, text=True)
    assert f'ImportError: mmseg_semi cannot import {named} (' in done.stderr
    assert done.stderr.rstrip().endswith("install it with pip install -e '.[onedl]' in the repository of mmseg_semi")


def test_configs_of_mmseg_can_be_inherited(tmp_path):
    (tmp_path / 'config.py').write_text("_base_ = 'mmseg::_base_/models/pspnet_r50-d8.py'\n")
    assert Config.fromfile(tmp_path / 'config.py').model.decode_head.type == 'PSPHead'


def test_the_history_in_a_checkpoint_loads_without_arbitrary_code(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save(dict(message_hub=history), tmp_path / 'checkpoint.pth')
    prepare_mmengine()  # some loaders of mmengine take back what was declared safe
    loaded = torch.load(tmp_path / 'checkpoint.pth', weights_only=True)['message_hub']
    assert all(loaded.statistics(name) == history.statistics(name) for name in ('current', 'max', 'mean', 'min'))


class Call:
    """A function and its arguments, which unpickling calls."""

    def __init__(self, function, *arguments) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def test_what_is_safe_for_the_history_opens_no_way_to_other_functions(tmp_path):
    attributes = Call(getattr, torch._utils._rebuild_tensor_v2, '__builtins__')
    look_up = Call(getattr, attributes, 'get')
    evaluate = Call(_rebuild_from_type_v2, look_up, Call(getattr, getattr, '__class__'), ('eval',), {})
    torch.save(Call(_rebuild_from_type_v2, evaluate, Call(getattr, 1, '__class__'), ('1 + 1',), {}), tmp_path / 'a.pth')
    prepare_mmengine()
    with pytest.raises(pickle.UnpicklingError, match="attribute '__builtins__'"):
        torch.load(tmp_path / 'a.pth', weights_only=True)
