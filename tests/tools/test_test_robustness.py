import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

TOOL = 'analysis_tools/test_robustness.py'


@pytest.fixture
def trained(tiny_config, tmp_path):
    """A config with all metrics and its checkpoint, of random weights."""
    cfg = tiny_config()
    cfg.test_evaluator = [dict(type='IoUMetric'), dict(type='CalibrationMetric')]
    cfg.tta_model = dict(type='ProbabilisticSegTTAModel')
    cfg.dump(tmp_path / 'config.py')
    torch.manual_seed(0)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), tmp_path / 'model.pth')
    return tmp_path / 'config.py', tmp_path / 'model.pth'


def rows(done):
    """Cells of the Markdown table, by first cell."""
    lines = done.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if 'relative to clean' in line)
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in (lines[start], *lines[start + 2 :])]
    return {first: rest for first, *rest in cells}


def test_a_model_is_tested_under_each_corruption_and_severity_and_what_is_done_is_not_done_again(
    trained, tmp_path, run_tool
):
    options = ['--out', tmp_path / 'new/robustness.json', '--corruptions', 'contrast', 'gaussian_noise', '--severities']
    first = run_tool(TOOL, *trained, *options, 1)
    assert first.returncode == 0, first.stderr
    written = json.loads((tmp_path / 'new/robustness.json').read_text())
    results = written['results']
    assert {name: list(values) for name, values in results.items()} == {
        'clean': ['0'], 'contrast': ['1'], 'gaussian_noise': ['1']
    }  # fmt: skip
    assert set(results['clean']['0']) == {'aAcc', 'mIoU', 'mAcc', 'ECE', 'overconfidence'}
    assert results['contrast']['1'] != results['clean']['0']

    results['clean']['0']['ECE'] = 12.3
    (tmp_path / 'new/robustness.json').write_text(json.dumps(written))
    second = run_tool(TOOL, *trained, *options, 1, 5, '--metric', 'ECE')
    assert second.returncode == 0, second.stderr
    results = json.loads((tmp_path / 'new/robustness.json').read_text())['results']
    shown, clean = rows(second), 12.3
    assert shown['ECE'] == ['severity 1', 'severity 5', 'mean', 'relative to clean']
    assert shown['clean'] == ['', '', f'{clean:.1f}', '']
    values = np.array([[results[name][key]['ECE'] for key in '15'] for name in ('contrast', 'gaussian_noise')])
    for name, row in zip(('contrast', 'gaussian_noise', 'mean'), [*values, values.mean(0)], strict=True):
        assert shown[name] == [f'{x:.1f}' for x in (*row, row.mean())] + [f'{row.mean() / clean:.2f}']


def test_results_of_another_config_of_that_name_are_not_mixed_in(trained, tmp_path, run_tool):
    options = ['--out', tmp_path / 'robustness.json', '--severities', 1, '--corruptions']
    assert run_tool(TOOL, *trained, *options, 'contrast').returncode == 0
    cfg = Config.fromfile(trained[0])
    cfg.model.predict_on = 'student'
    cfg.dump(trained[0])
    done = run_tool(TOOL, *trained, *options, 'contrast', 'brightness')
    assert done.returncode == 1
    assert 'has the results of another test (settings)' in done.stderr


def test_views_of_test_time_augmentation_and_the_chosen_branch_are_corrupted_too(trained, tmp_path, run_tool):
    options = ['--corruptions', 'brightness', '--severities', 5, '--tta', '--predict-on', 'student']
    done = run_tool(TOOL, *trained, *options, '--work-dir', tmp_path / 'work')
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / 'work/robustness.json').read_text())['results']
    assert results['brightness']['5'] != results['clean']['0']
    assert list(rows(done)) == ['mIoU', 'clean', 'brightness', 'mean']
    again = run_tool(TOOL, *trained, *options[:-2], '--work-dir', tmp_path / 'work')
    assert 'has the results of another test (predict_on, settings): name another file with --out' in again.stderr


@pytest.mark.parametrize(('options', 'message'), [
    (['--corruptions', 'rain'], "corruption='rain' is none of gaussian_noise"),
    (['--severities', 7], 'severity=7 is not one of 1, 2, 3, 4, 5'),
    (['--corruptions', 'fog', '--severities', 1, '--metric', 'AP'], '--metric AP: the test_evaluator of the config'),
    (['--cfg-options', 'test_dataloader.dataset.pipeline=[]'], 'no pipeline with LoadImageFromFile'),
])  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(trained, tmp_path, run_tool, options, message):
    done = run_tool(TOOL, *trained, *options, '--work-dir', tmp_path / 'work')
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]
