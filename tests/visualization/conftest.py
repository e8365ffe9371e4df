import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def work_dir(tiny_config, tmp_path) -> Callable[..., Path]:
    """Write what a run leaves: ``work_dir('a_0', seed=0, teacher={2: 40.0, 4: 50.0})``, the student 1 below."""

    def write(name: str, seed: int, teacher: dict, method: str = 'SemiSegmentor', session: str = '1', **model) -> Path:
        cfg = tiny_config(method, max_iters=4, **model)
        cfg.randomness.seed = seed
        folder = tmp_path / name
        vis_data = folder / session / 'vis_data'
        vis_data.mkdir(parents=True)
        cfg.dump(vis_data / 'config.py')
        cfg.dump(folder / f'{name.split("_")[0]}_net_data.py')
        lines = [dict(step=step, loss=1 / step, time=0.5) for step in range(min(teacher), max(teacher) + 1)]
        for step, value in teacher.items():
            lines.append({'step': step, 'mIoU': value, 'teacher/mIoU': value, 'student/mIoU': value - 1})
        lines.sort(key=lambda line: line['step'])
        (vis_data / 'scalars.json').write_text(''.join(json.dumps(line) + '\n' for line in lines))
        return folder

    return write
