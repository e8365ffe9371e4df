"""Test a checkpoint on corrupted images: every corruption at every severity, with the config's own test_evaluator.

All metrics go to a JSON file, result by result, and those in the file are not computed again. At the end a table in
Markdown shows one of them: of clean images, of each corruption, their mean over severities and that mean relative to
clean images (mPC and rPC of Michaelis et al. 2019, https://arxiv.org/abs/1907.07484).

Example:
    python tools/analysis_tools/test_robustness.py CONFIG CKPT --corruptions noise fog --severities 1 3 5
"""

import argparse
import copy
import itertools
import json
import os
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from mmseg_semi.datasets import ImageCorruption, corruption_names
from mmseg_semi.datasets.splits import fingerprint
from mmseg_semi.engine.launch import leave_together
from mmseg_semi.engine.testing import add_test_options, load_test_config
from mmseg_semi.utils.files import write_json

GROUPS = ('common', 'noise', 'blur', 'weather', 'digital', 'validation', 'all')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_test_options(parser)
    parser.add_argument(
        '--corruptions', nargs='+', default=['common'],
        help=f'names such as gaussian_noise, or groups of them: {", ".join(GROUPS)}; default: common, the 15 of '
        'ImageNet-C',
    )  # fmt: skip
    parser.add_argument('--severities', nargs='+', type=int, default=[1, 2, 3, 4, 5], help='from 1 to 5; default: all')
    parser.add_argument('--metric', default='mIoU', help='what the table shows; default: mIoU')
    parser.add_argument('--out', type=Path, help='JSON file; default: robustness.json in the work directory')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    corruptions = chosen(args.corruptions, args.severities)
    cfg = load_test_config(args)
    out = args.out or Path(cfg.work_dir) / 'robustness.json'
    subject = describe(args, cfg)
    results = read(out, subject)
    position = behind_loading(cfg)
    for name, severity in [('clean', 0), *itertools.product(corruptions, args.severities)]:
        if str(severity) in results.get(name, {}):
            continue
        case = copy.deepcopy(cfg)
        if name != 'clean':
            step = dict(type='ImageCorruption', corruption=name, severity=severity)
            case.test_dataloader.dataset.pipeline.insert(position, step)
        metrics = Runner.from_cfg(case).test()
        results.setdefault(name, {})[str(severity)] = {key: round(float(value), 4) for key, value in metrics.items()}
        if is_main_process():
            write_json(out, dict(subject, results=results))
    if is_main_process():
        print('\n'.join(table(results, corruptions, args.severities, args.metric)))


def chosen(names: list[str], severities: list[int]) -> list[str]:
    """Spell groups of corruptions out.

    Raises:
        SystemExit: If there is no such corruption or severity, or the package of corruptions is missing.
    """
    try:
        found = [one for name in names for one in (corruption_names(name) if name in GROUPS else [name])]
        for name in found:
            for severity in severities:
                ImageCorruption(name, severity)
    except (ImportError, ValueError) as error:
        raise SystemExit(str(error)) from error
    return list(dict.fromkeys(found))


def describe(args: argparse.Namespace, cfg: Config) -> dict:
    """Say what is tested."""
    path = args.checkpoint
    options = {key: repr(value) for key, value in sorted((args.cfg_options or {}).items())}
    return dict(
        config=args.config, checkpoint=path, modified=os.path.getmtime(path) if os.path.isfile(path) else None,
        tta=args.tta, predict_on=args.predict_on, cfg_options=options,
        settings=fingerprint(repr(cfg[key]) for key in ('model', 'test_dataloader', 'test_evaluator')),
    )  # fmt: skip


def read(out: Path, subject: dict) -> dict:
    """Read what an earlier run found.

    Raises:
        SystemExit: If it tested something else.
    """
    if not out.is_file():
        return {}
    found = json.loads(out.read_text())
    results = found.pop('results')
    if found != subject:
        different = ', '.join(key for key in subject if found.get(key) != subject[key])
        raise SystemExit(f'{out} has the results of another test ({different}): name another file with --out')
    return results


def behind_loading(cfg: Config) -> int:
    """Tell where in the test pipeline the image has just been loaded.

    Raises:
        SystemExit: If it never is.
    """
    for i, step in enumerate(cfg.test_dataloader.dataset.get('pipeline', [])):
        if step['type'].startswith('LoadImage'):
            return i + 1
    raise SystemExit("the config's test_dataloader.dataset has no pipeline with LoadImageFromFile")


def table(results: dict, corruptions: list[str], severities: list[int], metric: str) -> list[str]:
    """Write the table.

    Raises:
        SystemExit: If the metric was not computed.
    """
    known = results['clean']['0']
    if metric not in known:
        raise SystemExit(f'--metric {metric}: the test_evaluator of the config gives {", ".join(known)}')
    clean = known[metric]
    values = np.array([[results[name][str(severity)][metric] for severity in severities] for name in corruptions])
    lines = [
        f'| {metric} | {" | ".join(f"severity {severity}" for severity in severities)} | mean | relative to clean |',
        '|---' * (len(severities) + 3) + '|',
        f'| clean |{" |" * len(severities)} {clean:.1f} | |',
    ]
    for name, row in zip([*corruptions, 'mean'], [*values, values.mean(axis=0)], strict=True):
        shown = ' | '.join(f'{value:.1f}' for value in [*row, row.mean()])
        lines.append(f'| {name} | {shown} | {row.mean() / clean:.2f} |')
    return lines


if __name__ == '__main__':
    main()
    leave_together()
