import re
from pathlib import Path

TOOLS = Path(__file__).parents[2] / 'tools/analysis_tools'


def test_steps_with_more_negatives_are_held_against_the_first_number(run_tool, monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    options = ('--crop', 64, '--labeled', 2, '--unlabeled', 2, '--repeats', 1, '--threads', 1)
    done = run_tool('analysis_tools/benchmark_negatives.py', 10, 60000, *options)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r'^ +(\d+) +\d+ +(\d\.\d+) +(\d+)$', done.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == ['10', '60000']
    assert rows[0][1] == '1.000'
    bank = 60000 * 128 * 4 / 2**20  # MiB, that the loss holds at least once
    assert int(rows[1][2]) > int(rows[0][2]) + bank
