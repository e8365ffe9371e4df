"""Training on two CPU processes, started as a user would."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import child_environment
from mmengine.runner import Runner

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tiny_config):
    cfg = tiny_config(max_iters=2)
    cfg.custom_imports.imports.append('rank_helpers')
    cfg.custom_hooks += [dict(type='DumpRankHook')]
    return cfg


def dist_train(cfg, work_dir):
    """Run ``tools/dist_train.sh`` with two processes and give the weights of both."""
    cfg.work_dir = str(work_dir)
    config_file = work_dir.with_suffix('.py')
    cfg.dump(config_file)
    done = subprocess.run(
        ['bash', ROOT / 'tools/dist_train.sh', config_file, '2'], capture_output=True, text=True, check=False,
        env=child_environment(Path(__file__).parent, PYTHON=sys.executable),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert not [path for path in work_dir.glob('rank_*.txt') if 'gloo' in path.read_text()]
    return [torch.load(work_dir / f'rank_{rank}.pth') for rank in range(2)]


def test_ranks_hold_identical_students_and_teachers_also_after_resuming_from_rank_0(config, tmp_path):
    config.train_cfg.update(max_iters=3, val_interval=2)
    first, second = dist_train(config, tmp_path / 'whole')
    config.load_from, config.resume = str(tmp_path / 'whole' / 'iter_2.pth'), True
    for weights in (second, *dist_train(config, tmp_path / 'resumed')):
        assert [name for name, value in first.items() if not torch.equal(value, weights[name])] == []


@pytest.mark.parametrize(('method', 'options'), [
    ('ContextAwareConsistency', dict(unsup_start=1, num_negatives=40, new_negatives=24, stride=8)),
    ('UniMatch', dict(consistency=[dict(type='PseudoLabelCrossEntropyLoss', threshold=0.0)])),
    ('SecondNetwork', dict(unsup_start=1)),
])  # fmt: skip
def test_ranks_agree_with_heads_that_idle_a_memory_bank_a_joint_batch_recomputed_maps_and_a_network_more(
    tiny_config, tmp_path, method, options
):
    cfg = tiny_config(method, max_iters=3, **options)
    cfg.custom_imports.imports.append('rank_helpers')
    cfg.custom_hooks += [dict(type='DumpRankHook')]
    cfg.model.segmentor.backbone.with_cp = True
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    first, second = dist_train(cfg, tmp_path / 'run')
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []
    if method == 'ContextAwareConsistency':
        assert first['bank.written'] == 2 * 24


def test_one_step_equals_the_step_of_one_process_on_the_joint_batch(config, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    cfg = config
    segmentor = cfg.model.segmentor
    for part in (segmentor.backbone, segmentor.decode_head, segmentor.auxiliary_head):
        part.norm_cfg = dict(type='GN', num_groups=4)
    segmentor.decode_head.dropout_ratio = segmentor.auxiliary_head.dropout_ratio = 0
    segmentor.data_preprocessor.size = (40, 48)
    cfg.model.consistency = [
        dict(type='PixelConsistencyLoss', loss_weight=20.0),
        dict(type='StructuredConsistencyLoss', num_pairs=None, loss_weight=3.0),
    ]
    cfg.train_cfg.max_iters = cfg.param_scheduler[0].end = 1
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.train_dataloader.sampler.shuffle = False
    labeled, unlabeled = (cfg.train_dataloader.dataset[key] for key in ('labeled', 'unlabeled'))
    labeled.pipeline = [dict(type=name) for name in ('LoadImageFromFile', 'LoadAnnotations', 'PackSegInputs')]
    unlabeled.pipeline = [
        dict(type='LoadUnlabeledImage'), dict(type='LeftHalfRegion'), dict(type='MultiView', weak=[], strong=[]),
    ]  # fmt: skip
    together = cfg.copy()
    ranks = dist_train(cfg, tmp_path / 'dist')

    # Rank 0 mixes images (0, 1), rank 1 mixes (2, 3); one process mixes image i with image i + 2.
    names = (Path(unlabeled.data_root) / 'splits/unlabeled.txt').read_text().split()
    (tmp_path / 'joint.txt').write_text('\n'.join(names[i] for i in (0, 2, 1, 3)))
    together.train_dataloader.dataset.unlabeled.ann_file = str(tmp_path / 'joint.txt')
    together.train_dataloader.batch_size = together.train_dataloader.sampler.batch_size = 8
    together.work_dir = str(tmp_path / 'joint')
    importlib.import_module('rank_helpers')
    Runner.from_cfg(together).train()
    joint = torch.load(tmp_path / 'joint' / 'rank_0.pth')
    initial = {name: value for name, value in joint.items() if name.startswith('teacher.')}
    assert any(not torch.equal(joint[name.replace('teacher.', 'student.')], value) for name, value in initial.items())
    for name, value in joint.items():
        for rank in ranks:
            torch.testing.assert_close(rank[name], value, rtol=1e-4, atol=1e-6, msg=name)
