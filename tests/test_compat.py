import subprocess
import sys

import mmcv
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer

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
    assert loaded.mean() == history.mean()
