"""The runner on a tree that is laid out as CamVid is, with small random images."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_semi.datasets.splits import read_list

ROOT = Path(__file__).parents[2]
SPLITS = ROOT / 'configs/_base_/datasets/splits/camvid/1_8'
RUN = ROOT / 'projects/camvid_benchmark/run.py'


@pytest.fixture(scope='module')
def camvid(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp('data') / 'camvid', np.random.default_rng(0)
    names = [name for part in ('labeled', 'unlabeled') for name in read_list(SPLITS / f'{part}.txt')]
    for part, stems in (('train', names), ('val', ['a', 'b'])):
        for kind in ('images', 'annotations'):
            (root / kind / part).mkdir(parents=True)
        for stem in stems:
            label = cv2.resize(rng.integers(0, 12, (3, 4), dtype=np.uint8), (64, 48), interpolation=cv2.INTER_NEAREST)
            cv2.imwrite(str(root / f'images/{part}/{stem}.jpg'), np.repeat(20 * label[..., None], 3, axis=2))
            cv2.imwrite(str(root / f'annotations/{part}/{stem}.png'), label)
    return root


def benchmark(camvid, out, *arguments, iterations=4):
    options = [
        'model.segmentor.backbone.init_cfg=None', f'train_cfg.max_iters={iterations}', 'train_cfg.val_interval=2',
        'default_hooks.checkpoint.interval=2', 'default_hooks.logger.interval=1',
        'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False', 'val_dataloader.persistent_workers=False',
        'train_dataloader.batch_size=2', 'train_dataloader.sampler.batch_size=2',
    ]  # fmt: skip
    return subprocess.run(
        [sys.executable, str(RUN), '--data-root', str(camvid), '--work-dir', str(out / 'runs'), '--results', str(out),
         *map(str, arguments), '--cfg-options', *options],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip


def read(out):
    return [json.loads(line) for line in (out / 'small.jsonl').read_text().splitlines()]


def test_a_grid_of_runs_ends_in_one_result_each_and_is_not_repeated(camvid, tmp_path):
    grid = ('--methods', 'supervised', '--fractions', '1_8', '1_4', '--seeds', 3)
    done = benchmark(camvid, tmp_path, *grid)
    assert done.returncode == 0, done.stdout + done.stderr
    results = read(tmp_path)
    assert [(r['method'], r['fraction'], r['seed'], r['protocol']) for r in results] == [
        ('supervised', '1_8', 3, 'small'), ('supervised', '1_4', 3, 'small')
    ]  # fmt: skip
    for result in results:
        assert [point['iter'] for point in result['curve']] == [2, 4]
        assert result['miou_teacher'] == result['curve'][-1]['teacher']
        assert np.mean(list(result['iou'].values())) == pytest.approx(result['miou_teacher'], abs=0.02)
        assert result['iterations'] == 4
        assert result['seconds'] > 0
        assert result['peak_memory_mib'] > 100
    assert '| small | 1/4 | supervised | 3 |' in (tmp_path / 'small.md').read_text()

    again = benchmark(camvid, tmp_path, *grid)
    assert again.stdout.count('done before') == 2
    assert read(tmp_path) == results


def test_a_method_without_a_config_is_refused_before_anything_runs(camvid, tmp_path):
    done = benchmark(camvid, tmp_path, '--methods', 'supervised', 'magic')
    assert done.returncode == 1
    assert 'no CamVid config of magic; there are ' in done.stderr
    assert not (tmp_path / 'runs').exists()
