import re


def test_the_update_of_the_hook_is_timed_beside_the_loop(run_tool):
    done = run_tool('analysis_tools/benchmark_ema.py', '--device', 'cpu', '--repeats', 1)
    assert done.returncode == 0, done.stderr
    fused, loop, ratio = (float(number) for number in re.findall(r'[\d.]+', done.stdout))
    assert fused > 0
    assert abs(ratio - loop / fused) < 0.1 + 0.1 * ratio
