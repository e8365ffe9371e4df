import torch


def test_resume_prefers_its_own_checkpoints_to_the_one_that_a_config_starts_from(run_tool, tiny_config, tmp_path):
    def train(name, **changes):
        cfg = tiny_config('SemiSegmentor', max_iters=2)
        cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
        cfg.default_hooks.checkpoint.interval = 1
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


def test_weights_to_start_from_that_are_not_there_are_named_before_anything_is_built(run_tool, tiny_config, tmp_path):
    tiny_config('SemiSegmentor', max_iters=2).dump(tmp_path / 'config.py')
    (tmp_path / 'page.pth').write_text('<html>')
    for name, message in [('gone.pth', 'there is no checkpoint'), ('page.pth', 'is no checkpoint')]:
        weights = f'load_from={tmp_path / name}'
        done = run_tool('train.py', tmp_path / 'config.py', '--work-dir', tmp_path / 'run', '--cfg-options', weights)
        assert done.returncode == 1
        assert message in done.stderr.splitlines()[-1]
    assert not (tmp_path / 'run').exists()
