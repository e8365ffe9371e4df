import runpy
import shutil
import subprocess
from pathlib import Path

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
