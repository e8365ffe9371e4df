import mmcv
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer

from mmseg_semi.compat import check_versions, prepare_mmengine


def test_the_installed_versions_are_supported():
    check_versions()


@pytest.mark.parametrize('version', ['1.7.0', '3.0.0'])
def test_an_unsupported_version_is_refused_with_what_to_install(monkeypatch, version):
    monkeypatch.setattr(mmcv, '__version__', version)
    message = rf'needs mmcv >= .*, but {version} is installed; install a supported version with pip install "mmseg-semi'
    with pytest.raises(ImportError, match=message):
        check_versions()


def test_configs_of_mmseg_can_be_inherited(tmp_path):
    (tmp_path / 'config.py').write_text("_base_ = 'mmseg::_base_/models/pspnet_r50-d8.py'\n")
    assert Config.fromfile(tmp_path / 'config.py').model.decode_head.type == 'PSPHead'


def test_the_history_in_a_checkpoint_loads_without_arbitrary_code(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save(dict(message_hub=history), tmp_path / 'checkpoint.pth')
    prepare_mmengine()  # some loaders of mmengine take back what was declared safe
    loaded = torch.load(tmp_path / 'checkpoint.pth', weights_only=True)['message_hub']
    assert loaded.mean() == history.mean()
