import re

import pytest

METHODS = ('SemiSegmentor', 'CutMixMeanTeacher', 'ContextAwareConsistency', 'FixMatch', 'UniMatch', 'IPixMatch')


@pytest.fixture
def anatomy(run_tool):
    """Run the benchmark; give the milliseconds and share of each part, those of step and floor, and their ratio."""

    def run(*args):
        done = run_tool('analysis_tools/benchmark_step.py', *args, '--repeats', 1)
        assert done.returncode == 0, done.stderr
        parts = re.findall(r'^(\S.*?) +(\d+\.\d) +(\d+\.\d)%$', done.stdout, re.MULTILINE)
        whole = float(re.search(r'^all +(\S+)$', done.stdout, re.MULTILINE).group(1))
        runs = re.findall(r'^(step|floor).*? (\d+\.\d) +\d+$', done.stdout, re.MULTILINE)
        ratio = float(re.search(r'^ratio.* (\S+)$', done.stdout, re.MULTILINE).group(1))
        return {name: float(value) for name, value, _ in parts}, whole, dict(runs), ratio

    return run


@pytest.mark.parametrize('method', METHODS)
def test_the_parts_of_a_step_on_random_images_add_up_to_all_of_it(anatomy, method):
    shapes = ('--crop', 32, '--labeled', 2, '--unlabeled', 4, '--classes', 3)
    parts, whole, runs, ratio = anatomy('--method', method, *shapes)
    assert len(parts) == 8
    assert sum(parts.values()) == pytest.approx(whole, abs=1)
    without_targets = method in ('SemiSegmentor', 'ContextAwareConsistency')
    assert (parts['networks without gradient (targets)'] == 0) == without_targets
    assert all(parts[name] > 0 for name in ('networks with gradient', 'backward', 'optimizer', "teacher's update"))
    assert ratio == pytest.approx(float(runs['step']) / float(runs['floor']), rel=0.01)


def test_a_config_is_timed_with_its_own_loader_and_switches(anatomy, tiny_config, tmp_path):
    cfg = tiny_config('CutMixMeanTeacher', unsup_start=100)
    cfg.default_hooks.compile = dict(type='CompileHook', backend='eager')
    cfg.dump(tmp_path / 'config.py')
    parts, *_ = anatomy(tmp_path / 'config.py', '--cfg-options', 'model.channels_last=True')
    assert parts['data: waiting for the loader'] > 0
    assert parts['networks without gradient (targets)'] > 0


def test_a_model_without_a_teacher_is_refused(run_tool, tiny_config, tmp_path):
    cfg = tiny_config('SemiSegmentor')
    cfg.model, cfg.custom_hooks = cfg.model.segmentor, []
    cfg.dump(tmp_path / 'plain.py')
    done = run_tool('analysis_tools/benchmark_step.py', tmp_path / 'plain.py')
    assert 'plain.py: EncoderDecoder has no teacher and student' in done.stderr
