import subprocess
import sys
from pathlib import Path

import cv2

ROOT = Path(__file__).parents[2]


def test_quickstart_prints_the_table_and_draws_the_comparison(tmp_path):
    command = [sys.executable, ROOT / 'tools/quickstart.py', '--out', tmp_path, '--iterations', '2']
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith('| s')]
    assert [row.split('|')[1].strip() for row in rows] == ['supervised only', 'structured consistency']
    assert 's to go' in done.stdout
    picture = cv2.imread(str(tmp_path / 'comparison.png'))
    assert picture.shape[1] > 4 * 192
