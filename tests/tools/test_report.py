import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CLASSES

REPORT = 'analysis_tools/report.py'


@pytest.fixture
def train(tiny_config, run_tool, tmp_path) -> Callable[[str], Path]:
    """Train a tiny network with a method, and give its work dir."""

    def run(method: str) -> Path:
        cfg, work_dir = tiny_config(method), tmp_path / method
        cfg.train_cfg.val_interval = 2
        cfg.visualizer.name = str(work_dir)  # one a process and name
        cfg.dump(tmp_path / f'{method}_tiny.py')
        done = run_tool('train.py', tmp_path / f'{method}_tiny.py', '--work-dir', work_dir)
        assert done.returncode == 0, done.stderr
        return work_dir

    return run


def browse(page: Path, width: int) -> dict:
    """Open a page in a headless Chromium, in a process without what OpenCV sets for its own Qt."""
    env = {key: value for key, value in os.environ.items() if not key.startswith('QT_')}
    command = [sys.executable, Path(__file__).with_name('browse.py'), page, str(width)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=300)
    if 'ImportError' in done.stderr or 'ModuleNotFoundError' in done.stderr:
        pytest.skip(f'no browser: {done.stderr.splitlines()[-1]}')
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_page_of_two_runs_shows_in_a_browser_at_phone_and_desktop_width(train, run_tool, tmp_path):
    work_dirs = [train('SemiSegmentor'), train('CutMixMeanTeacher')]
    page = tmp_path / 'report.html'
    done = run_tool(REPORT, *work_dirs, '-o', page, '--cases', 2)
    assert done.returncode == 0, done.stderr
    evaluated = re.findall(r'mIoU ([\d.]+), logged ([\d.]+)', done.stdout)
    assert len(evaluated) == 2
    for now, logged in evaluated:
        assert float(now) == pytest.approx(float(logged), abs=0.01)

    again = run_tool(REPORT, *work_dirs, '-o', page, '--cases', 2)
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
        for text in (
            'CutMixMeanTeacher',
            'Boundary IoU',
            'mIoU of the teacher',
            'balloon',
            'Where methods differ most',
            'Cost',
        ):
            assert text in shown['text']


def test_images_that_are_elsewhere_end_in_one_sentence_and_no_page(train, run_tool, tmp_path):
    out = tmp_path / 'report.html'
    options = '--cfg-options', 'val_dataloader.dataset.data_root=/nowhere'
    done = run_tool(REPORT, train('SemiSegmentor'), '-o', out, *options)
    assert done.returncode == 1
    assert '/nowhere' in done.stderr
    assert 'set --cfg-options val_dataloader.dataset.data_root=DATA, or give --no-predictions' in done.stderr
    assert not out.exists()


def test_runs_of_different_classes_end_in_one_sentence_and_no_page(train, run_tool, tmp_path):
    folders = [train('SemiSegmentor'), train('CutMixMeanTeacher')]
    (config,) = folders[1].glob('*/vis_data/config.py')
    fewer = f"\nval_dataloader['dataset']['metainfo'] = dict(classes={CLASSES[:-1]})\n"
    config.write_text(config.read_text() + fewer)
    done = run_tool(REPORT, *folders, '-o', tmp_path / 'report.html')
    assert done.returncode == 1
    assert done.stderr.endswith('have different classes: compare them in a report each')
    assert not (tmp_path / 'report.html').exists()


def test_without_predictions_neither_checkpoints_nor_images_are_needed(work_dir, run_tool, tmp_path):
    folders = [work_dir('sup_0', 0, {4: 40.0}), work_dir('mix_0', 0, {4: 50.0}, 'CutMixMeanTeacher')]
    done = run_tool(REPORT, *folders, '-o', tmp_path / 'report.html', '--no-predictions')
    assert done.returncode == 0, done.stderr
    page = (tmp_path / 'report.html').read_text()
    assert '+10.0' in page
    assert '<img' not in page
    assert 'Boundary IoU' not in page


def test_a_wrong_folder_ends_in_one_sentence_and_no_page(work_dir, run_tool, tmp_path):
    done = run_tool(REPORT, work_dir('sup_0', 0, {4: 40.0}), tmp_path / 'wrong', '-o', tmp_path / 'report.html')
    assert done.returncode == 1
    assert 'wrong holds no training log' in done.stderr
    assert not (tmp_path / 'report.html').exists()
