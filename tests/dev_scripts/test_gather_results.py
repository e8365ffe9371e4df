import json
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = 'unimatch/unimatch_deeplabv3plus_r18-slim_1xb8-800_scenes-16-96x96'


@pytest.fixture
def gather(monkeypatch, tmp_path):
    def run(*work_dirs):
        out = tmp_path / 'results.jsonl'
        monkeypatch.setattr(sys, 'argv', ['gather_results.py', *map(str, work_dirs), '-o', str(out)])
        runpy.run_path(str(ROOT / '.dev_scripts/gather_results.py'), run_name='__main__')
        return [json.loads(line) for line in out.read_text().splitlines()]

    return run


def rename(folder, config):
    (path,) = folder.glob('*.py')
    path.rename(folder / f'{Path(config).name}.py')
    return folder


def test_runs_are_written_by_config_and_seed(work_dir, gather):
    folders = [rename(work_dir(f'run_{seed}', seed, {2: 40.0, 4: 50.0 + seed}, 'UniMatch'), CONFIG) for seed in (1, 0)]
    results = gather(*folders)
    assert [(r['method'], r['seed'], r['miou_teacher'], r['miou_student']) for r in results] == [
        ('unimatch', 0, 50.0, 49.0), ('unimatch', 1, 51.0, 50.0)
    ]  # fmt: skip
    assert {r['config'] for r in results} == {f'configs/{CONFIG}.py'}
    assert {(r['iterations'], r['seconds']) for r in results} == {(4, 2.0)}


def test_a_run_that_is_not_finished_or_of_another_config_is_named(work_dir, gather, tmp_path):
    with pytest.raises(SystemExit, match='short_0: unfinished, 2 of 4'):
        gather(rename(work_dir('short_0', 0, {2: 40.0}), CONFIG))
    with pytest.raises(SystemExit, match=r'mine_0: configs/ has no mine_net_data.py'):
        gather(work_dir('mine_0', 0, {4: 40.0}))
    assert not (tmp_path / 'results.jsonl').exists()
