import re

import pytest


@pytest.fixture
def rates(run_tool):
    """Run the benchmark; give the samples a second and the ratio of each row."""

    def run(*args):
        done = run_tool('analysis_tools/benchmark_pipeline.py', *args, '--images', 2, '--repeats', 1)
        assert done.returncode == 0, done.stderr
        rows = re.findall(r'^(\S.*?) +(\d+\.\d\d) +(\d+\.\d\d)$', done.stdout, re.MULTILINE)
        return {name: (float(rate), float(ratio)) for name, rate, ratio in rows}

    return run


def test_both_pipelines_are_compared_with_the_customary_way(rates, tiny_data):
    found = rates('--data-root', tiny_data / 'images/train')
    assert len(found) == 8
    for pipeline in ('weak, strong, strong', 'paired crops'):
        customary, own = (found[f'{pipeline}: {who}'] for who in ('PIL and torchvision', 'ours'))
        assert customary[1] == 1
        assert own[1] == pytest.approx(own[0] / customary[0], rel=0.05)


def test_the_pipelines_of_a_config_are_timed(rates, tiny_config, tmp_path):
    tiny_config().dump(tmp_path / 'config.py')
    assert list(rates(tmp_path / 'config.py')) == ['labeled', 'unlabeled']
