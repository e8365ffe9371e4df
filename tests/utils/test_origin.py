import subprocess
from pathlib import Path

from mmengine.config import Config

from mmseg_semi.utils.origin import commit, note_origin


def test_the_commit_says_whether_the_code_has_been_changed_since(tmp_path):
    def git(*arguments):
        user = ('-c', 'user.name=me', '-c', 'user.email=me@here')
        command = ['git', '-C', tmp_path, *user, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git('init')
    for path in ('configs/a.py', 'results.jsonl', 'lib/site-packages/b.py'):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text('1')
    git('add', '-A')
    git('commit', '-m', 'first')
    name = git('rev-parse', 'HEAD')[:12]
    (tmp_path / 'results.jsonl').write_text('2')
    assert commit(tmp_path) == name
    (tmp_path / 'configs/a.py').write_text('2')
    assert commit(tmp_path) == f'{name}-dirty'
    assert commit(tmp_path / 'lib/site-packages') == 'unknown'


def test_a_package_outside_of_repositories_has_no_commit(tmp_path):
    assert commit(tmp_path) == commit(Path('/nowhere')) == 'unknown'


def test_a_config_gets_commit_and_cpu():
    cfg = Config()
    note_origin(cfg)
    assert cfg.commit
    assert cfg.cpu
