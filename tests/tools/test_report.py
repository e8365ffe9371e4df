import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPORT = 'analysis_tools/report.py'


@pytest.fixture
def trained(tiny_config, run_tool, tmp_path) -> list[Path]:
    """Work dirs of two tiny runs, supervised and with CutMix."""
    work_dirs = []
    for method in ('SemiSegmentor', 'CutMixMeanTeacher'):
        cfg = tiny_config(method)
        cfg.train_cfg.val_interval = 2
        cfg.visualizer.name = method
        cfg.dump(tmp_path / f'{method}_tiny.py')
        work_dirs.append(tmp_path / method)
        done = run_tool('train.py', tmp_path / f'{method}_tiny.py', '--work-dir', work_dirs[-1])
        assert done.returncode == 0, done.stderr
    return work_dirs


def browse(page: Path, width: int) -> dict:
    """Open a page in a headless Chromium, in a process without what OpenCV sets for its own Qt."""
    env = {key: value for key, value in os.environ.items() if not key.startswith('QT_')}
    command = [sys.executable, Path(__file__).with_name('browse.py'), page, str(width)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=300)
    if 'ImportError' in done.stderr or 'ModuleNotFoundError' in done.stderr:
        pytest.skip(f'no browser: {done.stderr.splitlines()[-1]}')
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_page_of_two_runs_shows_in_a_browser_at_phone_and_desktop_width(trained, run_tool, tmp_path):
    page = tmp_path / 'report.html'
    done = run_tool(REPORT, *trained, '-o', page, '--cases', 2)
    assert done.returncode == 0, done.stderr
    evaluated = re.findall(r'mIoU ([\d.]+), logged ([\d.]+)', done.stdout)
    assert len(evaluated) == 2
    for now, logged in evaluated:
        assert float(now) == pytest.approx(float(logged), abs=0.01)

    again = run_tool(REPORT, *trained, '-o', tmp_path / 'report.html', '--cases', 2)
    assert 'Loads checkpoint' in done.stdout
    assert 'Loads checkpoint' not in again.stdout

    for width in (390, 1280):
        shown = browse(page, width)
        assert shown['loaded']
        assert shown['console'] == []
        assert shown['remote'] == []
        assert len(shown['images']) == 2 * 5  # image, truth, two methods, disagreement
        assert all(shown['images'])
        assert shown['charts'] > 3
        assert shown['content'] <= shown['width'] == width
        assert shown['smallest_text'] >= 11
        for text in ('CutMixMeanTeacher', 'mIoU of the teacher', 'balloon', 'Where methods differ most', 'Cost'):
            assert text in shown['text']


def test_without_predictions_neither_checkpoints_nor_images_are_needed(trained, run_tool, tmp_path):
    for checkpoint in tmp_path.rglob('*.pth'):
        checkpoint.unlink()
    done = run_tool(REPORT, *trained, '-o', tmp_path / 'report.html', '--no-predictions')
    assert done.returncode == 0, done.stderr
    assert '<img' not in (tmp_path / 'report.html').read_text()


def test_bad_input_ends_in_one_sentence_and_writes_nothing(trained, run_tool, tmp_path):
    out = tmp_path / 'report.html'
    for arguments, message in (
        ([tmp_path / 'wrong'], 'wrong holds no training log'),
        ([*trained, '--names', 'one'], '1 different names for 2 methods'),
        (
            [*trained, '--cfg-options', 'val_dataloader.dataset.data_root=/nowhere'],
            'set --cfg-options val_dataloader.dataset.data_root=DATA, or give --no-predictions',
        ),
    ):
        done = run_tool(REPORT, *arguments, '-o', out)
        assert done.returncode == 1
        assert message in done.stderr
        assert not out.exists()
