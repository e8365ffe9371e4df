import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import child_environment
from mmengine.config import Config

ROOT = Path(__file__).parents[1]
CONFIG = 'context_aware_consistency/context-aware-consistency_deeplabv3plus_r18-slim_1xb8-800_scenes-16-96x96.py'


@pytest.fixture(scope='module')
def installed(tmp_path_factory) -> Path:
    """The folder into which a copy of the package was installed."""
    folder, metadata = tmp_path_factory.mktemp('site-packages'), tmp_path_factory.mktemp('metadata')
    command = [sys.executable, 'setup.py', '-q', 'egg_info', '-e', metadata, 'build_py', '--build-lib', folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def test_all_configs_and_tools_are_installed_and_the_index_of_models(installed):
    shipped = installed / 'mmseg_semi/.mim'
    command = ['git', 'ls-files', 'configs', 'tools', 'model-index.yml']
    tracked = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    found = {path.relative_to(shipped).as_posix() for path in shipped.rglob('*') if path.is_file()}
    assert found.issuperset(tracked)
    assert not [name for name in found if name.endswith('.pyc')]


def test_an_installed_package_trains_a_config_that_inherits_from_it_in_any_folder(installed, tiny_data, tmp_path):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/textured_scenes').symlink_to(tiny_data)
    (tmp_path / 'config.py').write_text(
        f"_base_ = 'mmseg_semi::{CONFIG}'\ntrain_cfg = dict(max_iters=2)\nmodel = dict(unsup_start=1)\n"
        "import mmseg_semi\nwork_dir = mmseg_semi.__file__.rpartition('/mmseg_semi/')[0] + '/run'\n"
    )
    environment = dict(child_environment(), PYTHONPATH=os.pathsep.join([str(installed), *sys.path]))
    command = [sys.executable, installed / 'mmseg_semi/.mim/tools/train.py', 'config.py']
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (installed / 'run/iter_2.pth').is_file()
    assert not [line for line in done.stdout.splitlines() if 'WARNING' in line and 'scope' in line]


def test_a_package_that_is_installed_in_place_has_the_same_configs(tmp_path):
    (tmp_path / 'config.py').write_text(f"_base_ = 'mmseg_semi::{CONFIG}'\n")
    inherited, ours = (Config.fromfile(path).to_dict() for path in (tmp_path / 'config.py', ROOT / 'configs' / CONFIG))
    assert inherited['model'].pop('_scope_') == 'mmseg_semi'
    assert inherited['model'] == ours['model']
