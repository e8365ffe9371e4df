import re
import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/benchmark_contrastive.py'


def test_both_implementations_agree_and_are_timed():
    command = [sys.executable, TOOL, '--anchors', '300', '--negatives', '700', '--chunk', '256', '--repeats', '1']
    done = subprocess.run([*command, '--ids', '--threads', '1'], capture_output=True, text=True, check=True)
    value, gradient = map(float, re.search(r'value (\S+), of the gradient (\S+)', done.stdout).groups())
    assert max(value, gradient) < 1e-5
    assert len(re.findall(r'^(?:all anchors|directional).*\d+\.\d', done.stdout, re.MULTILINE)) == 2
