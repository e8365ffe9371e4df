import os
import re
import subprocess
import sys
from pathlib import Path

from mmseg.registry import MODELS

ROOT = Path(__file__).parents[2]


def test_one_branch_is_counted_and_the_same_as_for_the_segmentor_alone(tiny_config, tmp_path):
    cfg = tiny_config()
    student = MODELS.build(cfg.model.segmentor)
    cfg.dump(tmp_path / 'semi.py')
    cfg.model = cfg.model.segmentor
    cfg.dump(tmp_path / 'plain.py')
    reports = [
        subprocess.run(
            [sys.executable, ROOT / 'tools/analysis_tools/get_flops.py', tmp_path / name, '--shape', '32', '64'],
            capture_output=True, text=True, check=True, env={**os.environ, 'PYTHONPATH': str(ROOT)},
        ).stdout
        for name in ('semi.py', 'plain.py')
    ]  # fmt: skip
    found = [re.search(r'input: .*\nFLOPs: .*\nparameters: .*', report).group() for report in reports]
    assert found[0] == found[1]
    millions = sum(p.numel() for p in student.parameters()) / 1e6
    assert f'parameters: {millions:.3f} M' in found[0]
