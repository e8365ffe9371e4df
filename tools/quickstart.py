"""Train the same network on few labels, without and with unlabelled images, and compare.

Takes the configs of the embedded data, which it generates; everything goes to one folder.
"""

import argparse
import statistics
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_semi.datasets.textured_scenes import generate_textured_scenes
from mmseg_semi.utils.origin import note_origin
from mmseg_semi.visualization import colorize, panel

CONFIGS = Path(__file__).parents[1] / 'configs'
METHODS = {
    'supervised only': 'supervised/supervised_deeplabv3plus_r18-slim_1xb4-800_scenes-16-96x96.py',
    'structured consistency': 'structured_consistency/'
    'structured-consistency_deeplabv3plus_r18-slim_1xb8-800_scenes-16-96x96.py',
}


class Progress(Hook):
    """Print a line now and then, and keep the metrics of the last validation."""

    priority = 'LOWEST'

    def __init__(self, title: str) -> None:
        self.title = title
        self.metrics: dict[str, float] = {}

    def before_train(self, runner) -> None:
        self.start = time.time()

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if self.every_n_train_iters(runner, max(1, runner.max_iters // 20)) or self.is_last_train_iter(runner):
            done = runner.iter + 1
            eta = (time.time() - self.start) / done * (runner.max_iters - done)
            loss = float(outputs['loss'])
            print(f'{self.title}: {done}/{runner.max_iters}, loss {loss:.3f}, {eta:.0f} s to go', flush=True)

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        self.metrics = metrics
        student, teacher = metrics['student/mIoU'], metrics['teacher/mIoU']
        print(f'{self.title}: mIoU student {student:.1f}, teacher {teacher:.1f}', flush=True)


def train(config: Path, title: str, data_root: Path, work_dir: Path, seed: int, iterations: int | None):
    """Train one config; give its runner and last metrics."""
    cfg = Config.fromfile(config)
    cfg.work_dir = str(work_dir)
    note_origin(cfg)
    cfg.randomness.seed = seed
    cfg.log_level = 'ERROR'
    cfg.visualizer.name = work_dir.name
    dataset = cfg.train_dataloader.dataset
    for part in (dataset.labeled, dataset.get('unlabeled'), cfg.val_dataloader.dataset):
        if part is not None:
            part.data_root = str(data_root)
    if iterations:
        cfg.train_cfg.update(max_iters=iterations, val_interval=iterations)
        cfg.param_scheduler[0].end = iterations
    runner = Runner.from_cfg(cfg)
    progress = Progress(f'{title}, seed {seed}')
    runner.register_hook(progress)
    runner.train()
    return runner, progress.metrics


@torch.no_grad()
def predict(runner: Runner, count: int) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Give RGB images, true and predicted labels of some validation images."""
    dataset = runner.val_dataloader.dataset
    runner.model.eval()
    images, truths, labels = [], [], []
    for index in range(0, len(dataset), max(1, len(dataset) // count)):
        sample = dataset[index]
        images.append(sample['inputs'].permute(1, 2, 0).numpy()[..., ::-1])
        truths.append(sample['data_samples'].gt_sem_seg.data[0].numpy())
        batch = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
        labels.append(runner.model.val_step(batch)[0].pred_sem_seg.data[0].cpu().numpy())
    return images[:count], truths[:count], labels[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/quickstart'), help='folder for data and results')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='train once for each')
    parser.add_argument('--iterations', type=int, help='instead of the number in the configs')
    args = parser.parse_args()
    warnings.filterwarnings('ignore')

    data_root = args.out / 'textured_scenes'
    print(f'Generating scenes in {data_root} ...', flush=True)
    try:
        generate_textured_scenes(data_root)
    except FileExistsError as error:
        raise SystemExit(str(error)) from None
    started = time.time()
    results: dict[str, list[dict[str, float]]] = {title: [] for title in METHODS}
    columns = {}
    for seed in args.seeds:
        for title, config in METHODS.items():
            work_dir = args.out / f'{title.replace(" ", "_")}_seed{seed}'
            runner, metrics = train(CONFIGS / config, title, data_root, work_dir, seed, args.iterations)
            results[title].append(metrics)
            if seed == args.seeds[0]:
                images, truths, columns[title] = predict(runner, count=6)
                palette = runner.val_dataloader.dataset.metainfo['palette']
    minutes = (time.time() - started) / 60

    shown = [truths, *columns.values()]
    rows = [[images[i], *(colorize(labels[i], palette) for labels in shown)] for i in range(len(images))]
    picture = args.out / 'comparison.png'
    cv2.imwrite(str(picture), panel(rows, ['image', 'truth', *columns])[..., ::-1])

    print(f'\nmIoU on {len(runner.val_dataloader.dataset)} validation images, seeds {args.seeds}, {minutes:.1f} min\n')
    print(f'| {"":22} | {"student":>14} | {"teacher":>14} |\n|{"-" * 24}|{"-" * 16}|{"-" * 16}|')
    for title, runs in results.items():
        print(f'| {title:22} | {summary(runs, "student")} | {summary(runs, "teacher")} |')
    plain, semi = ([run['teacher/mIoU'] for run in runs] for runs in results.values())
    gains = [b - a for a, b in zip(plain, semi, strict=True)]
    print(f'\nGain of the teacher, seed by seed: {", ".join(f"{gain:+.1f}" for gain in gains)}')
    print(f'Pictures (image, truth, supervised, semi): {picture}')
    print(f'Logs, checkpoints, pseudo labels: {args.out}/*_seed*/')
    print('Go on: README.md, "Make your config semi-supervised" and "Train on real images"')


def summary(runs: list[dict[str, float]], branch: str) -> str:
    """Mean and, for several runs, standard deviation."""
    values = [run[f'{branch}/mIoU'] for run in runs]
    spread = f' +- {statistics.stdev(values):.1f}' if len(values) > 1 else ''
    return f'{statistics.mean(values):.1f}{spread}'.rjust(14)


if __name__ == '__main__':
    main()
