"""The runner on a tree that is laid out as CamVid is, with small random images."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmseg_semi.datasets.splits import read_list

ROOT = Path(__file__).parents[2]
SPLITS = ROOT / 'configs/_base_/datasets/splits/camvid'
RUN = ROOT / 'projects/camvid_benchmark/run.py'
WEIGHT = 'model.consistency.0.loss_weight'


@pytest.fixture(scope='module')
def camvid(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp('my data') / 'camvid', np.random.default_rng(0)
    names = [name for part in ('labeled', 'unlabeled') for name in read_list(SPLITS / f'1_8/{part}.txt')]
    for part, stems in (('train', names), ('val', ['a', 'b'])):
        for kind in ('images', 'annotations'):
            (root / kind / part).mkdir(parents=True)
        for stem in stems:
            label = cv2.resize(rng.integers(0, 12, (3, 4), dtype=np.uint8), (64, 48), interpolation=cv2.INTER_NEAREST)
            cv2.imwrite(str(root / f'images/{part}/{stem}.jpg'), np.repeat(20 * label[..., None], 3, axis=2))
            cv2.imwrite(str(root / f'annotations/{part}/{stem}.png'), label)
    return root


@pytest.fixture(scope='module')
def runner():
    spec = importlib.util.spec_from_file_location('camvid_benchmark', RUN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def plan(runner, monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', [str(RUN), '--seeds', '0', *map(str, arguments)])
        return runner.plan(runner.parse_args())

    return run


def command(camvid, out, *arguments, iterations=4, options=()):
    """Arguments of a few iterations with seed 0; each of them is logged, every second one saved and validated."""
    options = [
        'model.segmentor.backbone.init_cfg=None', f'train_cfg.max_iters={iterations}', 'train_cfg.val_interval=2',
        'default_hooks.checkpoint.interval=2', 'default_hooks.logger.interval=1',
        'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False', 'val_dataloader.persistent_workers=False',
        *options,
    ]  # fmt: skip
    return [
        str(RUN), '--data-root', str(camvid), '--work-dir', str(out / 'runs'), '--results', str(out), '--seeds', '0',
        *map(str, arguments), '--cfg-options', *options,
    ]  # fmt: skip


def benchmark(runner, *arguments, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', command(*arguments, **options))
        runner.main()


def read(out, protocol):
    return [json.loads(line) for line in (out / f'{protocol}.jsonl').read_text().splitlines()]


PAIR = ('--protocol', 'holdout', '--methods', 'structured-consistency', 'supervised')
START = dict(options=['model.unsup_start=2', 'model.unsup_rampup=0'])


@pytest.fixture(scope='module')
def pair(runner, camvid, tmp_path_factory):
    """Folder of what a supervised and a semi-supervised run left, that are validated on held-out images."""
    out = tmp_path_factory.mktemp('a pair')
    benchmark(runner, camvid, out, *PAIR, **START)
    return out


def test_a_grid_of_runs_ends_in_one_result_each(pair):
    results = read(pair, 'holdout')
    assert [(r['method'], r['fraction'], r['seed'], r['protocol']) for r in results] == [
        ('supervised', '1_8', 0, 'holdout'), ('structured-consistency', '1_8', 0, 'holdout')
    ]  # fmt: skip
    head = subprocess.run(['git', 'rev-parse', 'HEAD'], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    for result in results:
        assert [point['iter'] for point in result['curve']] == [2, 4]
        assert result['miou_teacher'] == result['curve'][-1]['teacher']
        assert result['miou_student'] == result['curve'][-1]['student']
        assert np.mean(list(result['iou'].values())) == pytest.approx(result['miou_teacher'], abs=0.02)
        assert 0 < result['boundary_iou'] < result['miou_teacher']
        assert 0 < result['ece'] < 100
        assert result['iterations'] == result['options']['train_cfg.max_iters'] == 4
        assert result['iterations_per_second'] == pytest.approx(4 / result['seconds'], abs=0.1)
        assert result['peak_memory_mib'] > 100
        assert (ROOT / result['config']).is_file()
        assert not head or head.startswith(result['commit'].removesuffix('-dirty'))
        assert result['environment']['processes'] == 1
        assert {'device', 'torch', 'mmengine', 'mmseg', 'python', 'threads'} < set(result['environment'])
        assert result['environment']['cpu']
    rows = (pair / 'holdout.md').read_text().splitlines()[2:]
    assert ['supervised' in row for row in rows] == [True, False]
    assert '`model.unsup_start=2`' in rows[1]


def test_runs_with_a_result_are_not_repeated(runner, camvid, pair, capsys):
    before = (pair / 'holdout.jsonl').read_bytes()
    benchmark(runner, camvid, pair, *PAIR, **START)
    assert capsys.readouterr().out.count('done before') == 2
    assert (pair / 'holdout.jsonl').read_bytes() == before


def test_runs_of_the_holdout_protocol_are_validated_on_the_held_out_images_alone(pair):
    held_out = sorted(read_list(SPLITS / 'holdout/labeled.txt'))
    evaluations = list(pair.glob('runs/*/evaluation/*/evaluation.json'))
    assert len(evaluations) == 2
    for path in evaluations:
        images = [Path(image) for image in json.loads(path.read_text())['images']]
        assert sorted(image.stem for image in images) == held_out
        assert {image.parent.name for image in images} == {'train'}


def test_what_a_method_takes_over_from_the_supervised_run_is_what_it_would_have_trained_itself(
    runner, camvid, pair, tmp_path
):
    benchmark(runner, camvid, tmp_path, *PAIR[:-1], **START)
    (name,) = (path.parent.name for path in tmp_path.glob('runs/*/iter_4.pth'))
    weights = [
        torch.load(path, map_location='cpu', weights_only=False)['state_dict']
        for path in (
            tmp_path / 'runs' / name / 'iter_4.pth',
            pair / 'runs' / name / 'iter_4.pth',
            *pair.glob('runs/holdout-supervised*/iter_4.pth'),
        )
    ]
    assert 'resumed epoch: 0, iter: 2' in (pair / 'runs' / name / 'output.txt').read_text()
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)
    assert any(not torch.equal(weights[1][key], weights[2][key]) for key in weights[2])
    assert read(tmp_path, 'holdout')[0]['curve'] == read(pair, 'holdout')[1]['curve']


def start(arguments, out):
    """Start the benchmark in a process group of its own, and come back at its first checkpoint."""
    process = subprocess.Popen(
        [sys.executable, *command(*arguments, iterations=8)], cwd=ROOT, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list(out.glob('runs/*/last_checkpoint')):
        assert process.poll() is None
        time.sleep(0.05)
    return process


def test_a_run_that_is_killed_goes_on_from_its_last_checkpoint(runner, camvid, tmp_path):
    arguments = (camvid, tmp_path, '--methods', 'supervised')
    first = start(arguments, tmp_path)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert not (tmp_path / 'small.jsonl').exists()
    benchmark(runner, *arguments, iterations=8)
    (output,) = tmp_path.glob('runs/*/output.txt')
    assert 'resumed epoch: 0, iter: ' in output.read_text()
    (result,) = read(tmp_path, 'small')
    assert [point['iter'] for point in result['curve']][-2:] == [6, 8]


def test_a_training_does_not_outlive_the_benchmark_that_started_it(camvid, tmp_path):
    process = start((camvid, tmp_path, '--methods', 'supervised'), tmp_path)
    process.terminate()
    assert 'the same command goes on' in process.communicate()[1]
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_two_processes_share_the_batch_of_one(runner, camvid, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    benchmark(runner, camvid, Path(), '--methods', 'fixmatch', '--gpus', 2, iterations=2)
    (result,) = read(tmp_path, 'small')
    assert result['environment']['processes'] == 2
    (config,) = tmp_path.glob('runs/*/*/vis_data/config.py')
    loader = Config.fromfile(config, import_custom_modules=False).train_dataloader
    assert loader.batch_size == loader.sampler.batch_size == 8 // 2


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--methods', 'supervised', '--gpus', 3], '3 processes cannot share the batch of 4 of small-supervised-1_8-0'),
    (['--methods', 'supervised', 'magic'], 'no CamVid config of magic; there are '),
    (['--protocol', 'holdout', '--fractions', 'full'], '--fractions full labels the images that --protocol holdout'),
])  # fmt: skip
def test_what_cannot_be_run_is_refused_before_anything_runs(runner, camvid, tmp_path, arguments, message):
    with pytest.raises(SystemExit, match=re.escape(message)):
        benchmark(runner, camvid, tmp_path, *arguments)
    assert not (tmp_path / 'runs').exists()


@pytest.mark.parametrize('fraction', ['1_32', '1_8', '1_4'])
def test_images_that_are_held_out_train_no_network(plan, fraction):
    held_out, val = read_list(SPLITS / 'holdout/labeled.txt'), 'val_dataloader.dataset'
    for job in plan('--protocol', 'holdout', '--fractions', fraction):
        settings = job.settings()
        assert read_list(settings[f'{val}.ann_file']) == held_out
        assert settings[f'{val}.data_prefix.img_path'] == 'images/train'
        assert settings[f'{val}.data_prefix.seg_map_path'] == 'annotations/train'
        lists = [value for key, value in settings.items() if key.startswith('train') and key.endswith('ann_file')]
        assert len(lists) == (1 if job.method == 'supervised' else 2)
        assert len(read_list(lists[0])) == {'1_32': 11, '1_8': 46, '1_4': 92}[fraction]
        trained = [name for path in lists for name in read_list(path)]
        assert len(trained) > len(held_out) - 50
        assert not set(held_out) & set(trained)
    assert len(held_out) == 60


def test_a_sweep_is_one_run_for_each_combination_of_values_and_one_supervised_run_of_what_concerns_it(plan):
    rate = 'optim_wrapper.optimizer.lr'
    jobs = plan('--methods', 'supervised', 'fixmatch', '--sweep', f'{WEIGHT}=0.5,1', f'{rate}=0.1,0.2')
    assert [(job.method, job.options) for job in jobs] == [
        ('supervised', {rate: 0.1}),
        ('supervised', {rate: 0.2}),
        *(('fixmatch', {WEIGHT: weight, rate: lr}) for weight in (0.5, 1) for lr in (0.1, 0.2)),
    ]
    assert len({job.name for job in jobs}) == len(jobs)
    assert [job.supervised for job in jobs[2:]] == [jobs[0], jobs[1]] * 2
    cfg = jobs[2].config()
    assert cfg.model.consistency[0].loss_weight == 0.5
    assert jobs[2].settings()[rate] == 0.1


def test_networks_are_tested_on_corrupted_images_once_also_after_their_training(runner, camvid, pair):
    before = (pair / 'holdout.jsonl').read_bytes()
    for _ in range(2):
        benchmark(runner, camvid, pair, '--protocol', 'holdout', '--methods', 'supervised', '--robustness', **START)
    assert (pair / 'holdout.jsonl').read_bytes() == before
    (record,), (result, _) = read(pair, 'robustness'), read(pair, 'holdout')
    assert [record[key] for key in runner.Job._fields] == [result[key] for key in runner.Job._fields]
    assert record['metrics']['clean']['mIoU'] == pytest.approx(result['miou_teacher'], abs=0.01)
    assert record['commit'] == result['commit']
    assert set(record['metrics']) == {'clean', 'gaussian_noise', 'motion_blur', 'fog', 'jpeg_compression'}


def test_a_network_that_is_gone_cannot_be_tested_on_corrupted_images(runner, camvid, pair, tmp_path):
    (tmp_path / 'holdout.jsonl').write_bytes((pair / 'holdout.jsonl').read_bytes())
    with pytest.raises(SystemExit, match=r'holdout-supervised-1_8-0.*: .*iter_4.pth is gone; take its result away'):
        benchmark(runner, camvid, tmp_path, *PAIR, '--robustness', **START)


def test_the_table_of_corrupted_images_has_gains_of_the_mean_over_them(runner, tmp_path):
    def result(method, seed, noise, fog):
        values = dict(clean=50, gaussian_noise=noise, motion_blur=30, fog=fog, jpeg_compression=40)
        metrics = {name: dict(mIoU=float(value), ECE=value / 10) for name, value in values.items()}
        return dict(runner.Job(method, '1_8', seed, 'small')._asdict(), metrics=metrics)

    results = [result('fixmatch', 0, 20, 30), result('supervised', 0, 10, 20), result('fixmatch', 1, 30, 40)]
    runner.write_robustness_table(results, tmp_path / 'table.md')
    assert (tmp_path / 'table.md').read_text().splitlines()[2:] == [
        '| small | 1/8 | supervised | 0 | 50.0 | 10.0 | 30.0 | 20.0 | 40.0 | 25.0 |  | 2.5 |',
        '| small | 1/8 | fixmatch | 0, 1 | 50.0 +- 0.0 | 25.0 +- 7.1 | 30.0 +- 0.0 | 35.0 +- 7.1 | 40.0 +- 0.0 '
        '| 32.5 +- 3.5 | +5.0 | 3.2 +- 0.4 |',
    ]


def test_the_table_has_a_row_for_each_setting_and_gains_over_the_supervised_run_of_the_same_seed(runner, tmp_path):
    def result(method, seed, teacher, **options):
        job = runner.Job(method, '1_8', seed, 'holdout', options)
        return dict(
            job._asdict(), miou_teacher=teacher, miou_student=1.0, boundary_iou=3.0, ece=4.0, iterations_per_second=2.0,
            peak_memory_mib=None,
        )  # fmt: skip

    results = [result('fixmatch', seed, 50.0 + 4 * seed, **{WEIGHT: 3.0}) for seed in (0, 1)]
    results += [result('fixmatch', 0, 44.0), result('supervised', 0, 45.0), result('supervised', 1, 47.0)]
    results[2].pop('options')  # as in results without any
    runner.write_table(results, tmp_path / 'table.md')
    assert (tmp_path / 'table.md').read_text().splitlines()[2:] == [
        '| holdout | 1/8 | supervised | 0, 1 | 46.0 +- 1.4 | 1.0 +- 0.0 |  | 3.0 +- 0.0 | 4.0 +- 0.0 | 2.0 +- 0.0 |  |',
        f'| holdout | 1/8 | fixmatch, `{WEIGHT}=3.0` | 0, 1 | 52.0 +- 2.8 | 1.0 +- 0.0 | +6.0 +- 1.4 | 3.0 +- 0.0 '
        '| 4.0 +- 0.0 | 2.0 +- 0.0 |  |',
        '| holdout | 1/8 | fixmatch | 0 | 44.0 | 1.0 | -1.0 | 3.0 | 4.0 | 2.0 |  |',
    ]
