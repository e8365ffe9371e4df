import runpy
import shutil
import subprocess
from pathlib import Path

import torch

TRAIN = Path(__file__).parents[2] / 'tools/train.py'


def test_the_noted_commit_says_whether_the_code_has_been_changed_since(tmp_path, monkeypatch):
    def git(*arguments):
        user = ('-c', 'user.name=me', '-c', 'user.email=me@here')
        return subprocess.run(['git', *user, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.chdir(tmp_path)
    Path('tools').mkdir()
    shutil.copy(TRAIN, 'tools')
    commit = runpy.run_path(str(tmp_path / 'tools/train.py'))['commit']
    git('init')
    for path in ('configs/a.py', 'results.jsonl'):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text('1')
    git('add', '-A')
    git('commit', '-m', 'first')
    name = git('rev-parse', 'HEAD')[:12]
    Path('results.jsonl').write_text('2')
    assert commit() == name
    monkeypatch.chdir(tmp_path.parent)  # whatever repository it is run from
    assert commit() == name
    monkeypatch.chdir(tmp_path)
    Path('configs/a.py').write_text('2')
    assert commit() == f'{name}-dirty'


def test_resume_prefers_its_own_checkpoints_to_the_one_that_a_config_starts_from(run_tool, tiny_config, tmp_path):
    def train(name, **changes):
        cfg = tiny_config('SemiSegmentor', max_iters=2)
        cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
        cfg.default_hooks.checkpoint.interval = 1
        cfg.visualizer.name = f'{name} {changes}'
        cfg.merge_from_dict(changes)
        cfg.dump(tmp_path / f'{name}.py')
        done = run_tool('train.py', tmp_path / f'{name}.py', '--work-dir', tmp_path / name, '--resume')
        assert done.returncode == 0, done.stderr
        path = (tmp_path / name / 'last_checkpoint').read_text()
        return torch.load(path, weights_only=False)

    first = train('pretrained')
    own = train('own', load_from=str(tmp_path / 'pretrained/iter_2.pth'))
    assert own['meta']['iter'] == 2
    changed = [name for name, value in own['state_dict'].items() if not torch.equal(value, first['state_dict'][name])]
    assert changed, 'it was taken for a run that had ended'
    further = {'load_from': str(tmp_path / 'pretrained/iter_1.pth'), 'train_cfg.max_iters': 3}
    assert train('own', **further)['meta']['iter'] == 3
    logged = [line for log in (tmp_path / 'own').glob('*/*.log') for line in log.read_text().splitlines()]
    assert sum('Iter(train)' in line for line in logged) == 3
