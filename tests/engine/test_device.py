"""Training on a device other than the CPU, where a tensor that was left behind ends the run."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import child_environment
from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils import backend_registration

pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, '_setup_privateuseone_for_python_backend'), reason='needs a newer torch'
)
HERE = Path(__file__).parent
PSEUDO_LABELS = [dict(type=name, threshold=0.0) for name in ('PseudoLabelCrossEntropyLoss', 'InterPixelLoss')]
METHODS = dict(
    SemiSegmentor={},
    CutMixMeanTeacher=dict(channels_last=True),
    FixMatch=dict(consistency=PSEUDO_LABELS[:1]),
    UniMatch=dict(consistency=PSEUDO_LABELS),
    ContextAwareConsistency=dict(num_negatives=100, new_negatives=24),
)


def run(*command):
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, env=child_environment(HERE)
    )


def weights(folder):
    return torch.load(folder / 'iter_4.pth', weights_only=False)['state_dict']


def test_every_method_trains_validates_draws_saves_and_resumes_there_and_ends_with_the_weights_of_the_cpu(
    tiny_config, tmp_path
):
    files = {name: tmp_path / f'{name}.py' for name in (*METHODS, 'resumed')}
    for method, options in METHODS.items():
        cfg = tiny_config(method, **options)
        cfg.work_dir, cfg.visualizer.name = str(tmp_path / method), f'device, {method}'
        cfg.custom_hooks += [dict(type='PseudoLabelVisualizationHook', interval=2), dict(type='DatasetCheckHook')]
        if method != 'SemiSegmentor':
            views = cfg.train_dataloader.dataset.unlabeled.pipeline[-1]
            for step in [view[-1] for name, view in views.items() if name != 'type' and view]:
                step.on_device = True
        cfg.dump(files[method])
    cfg.merge_from_dict(dict(work_dir=str(tmp_path / 'resumed'), resume=True, load_from=f'{cfg.work_dir}/iter_2.pth'))
    cfg.dump(files['resumed'])

    done = run(HERE / 'pretend_device.py', *files.values())
    assert done.returncode == 0, done.stderr[-3000:]
    for name, file in files.items():
        on_device = weights(tmp_path / name)
        if name in METHODS:
            cfg = Config.fromfile(file)
            cfg.work_dir = str(tmp_path / 'cpu')
            Runner.from_cfg(cfg).train()
        for key, on_cpu in weights(tmp_path / 'cpu').items():
            torch.testing.assert_close(on_device[key], on_cpu, rtol=1e-4, atol=1e-5, msg=f'{name}, {key}')


def test_a_tensor_that_was_left_on_the_cpu_would_be_noticed():
    program = 'import torch; from pretend_device import PretendDevice\nwith PretendDevice(): {}'
    moved = "torch.ones(2, device='pretend') + torch.ones(2).to('pretend')"
    assert run('-c', program.format(moved)).returncode == 0
    left = run('-c', program.format(moved.replace(".to('pretend')", '')))
    assert 'aten.add.Tensor: tensors on the device and on the CPU, [(2,), (2,)]' in left.stderr
