"""Let the smallest config of each of mmseg's families take one training step with each method.

Weights are not downloaded, synchronised batch norm is reverted, the crop is the smallest at which the segmentor itself
takes a step; a backbone that is built for one image size is built for the crop. Every family has its own process, whose
memory is capped, so that none can take others down. Results are written as they come, one JSON object a line, and a
table in Markdown at the end; families in the file are not run again.

Example:
    python tools/analysis_tools/sweep_families.py --out work_dirs/families.jsonl
"""

import argparse
import contextlib
import io
import json
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import mmseg
import torch
from benchmark_step import random_batch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS

from mmseg_semi.models import SemiSegmentor
from mmseg_semi.models.features import classifier

CONFIGS = Path(mmseg.__file__).parent / '.mim/configs'
METHODS = ('SemiSegmentor', 'CutMixMeanTeacher', 'FixMatch', 'UniMatch', 'ContextAwareConsistency')
CROPS = (64, 128, 256, 512)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('families', nargs='*', help='folders of mmseg/configs; default: all')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/families.jsonl'), help='where results go')
    parser.add_argument('--memory', type=float, default=12, help='GiB that a process may address')
    parser.add_argument('--timeout', type=int, default=900, help='seconds that a family may take')
    parser.add_argument('--family', help=argparse.SUPPRESS)  # the process of one family
    return parser.parse_args()


def main() -> None:
    """Run every family in a process of its own."""
    args = parse_args()
    if args.family:
        limit = int(args.memory * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        with contextlib.redirect_stdout(io.StringIO()):
            result = sweep(args.family)
        print(json.dumps(result))
        return
    args.out.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.is_file() else []
    known = {result['family'] for result in done}
    families = args.families or sorted(path.name for path in CONFIGS.iterdir() if path.name != '_base_')
    for family in (name for name in families if name not in known):
        command = [sys.executable, __file__, '--family', family, '--memory', str(args.memory)]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=args.timeout, check=False)
            lines = run.stdout.strip().splitlines()
            result = json.loads(lines[-1]) if run.returncode == 0 and lines else failed(family, run.stderr)
        except subprocess.TimeoutExpired:
            result = dict(family=family, error=f'no result in {args.timeout} s')
        done.append(result)
        with args.out.open('a') as file:
            file.write(json.dumps(result) + '\n')
        print(row(result), flush=True)
    print('\n'.join(table(done)))


def failed(family: str, stderr: str) -> dict:
    """Say how a process ended."""
    return dict(family=family, error=(stderr.strip().splitlines() or ['killed'])[-1])


def sweep(family: str) -> dict:
    """Build the family's smallest segmentor and take a step with each method."""
    warnings.filterwarnings('ignore')
    init_default_scope('mmseg')
    smallest, errors = None, []
    for path in sorted((CONFIGS / family).glob('*.py')):
        try:
            model = Config.fromfile(path).get('model')
            if model is None:
                continue
            strip_weights(model)
            size = parameters(model)
        except Exception as error:
            errors.append(f'{type(error).__name__}: {error}')
            continue
        if smallest is None or size < smallest[0]:
            smallest = size, path, model
    if smallest is None:
        return dict(family=family, error=errors[-1].splitlines()[0] if errors else 'no config')
    size, path, model = smallest
    result = dict(family=family, config=path.name, parameters=size)
    for crop in CROPS:
        error = step('SemiSegmentor', model, crop)
        if error is None:
            result['crop'] = crop
            result['methods'] = {method: step(method, model, crop) for method in METHODS}
            return result
    return dict(result, error=error)


def parameters(model: dict) -> int:
    """Count them, without memory where the network allows it."""
    try:
        with torch.device('meta'):
            return sum(p.numel() for p in MODELS.build(model).parameters())
    except RuntimeError:  # a network that looks at values while it is built
        return sum(p.numel() for p in MODELS.build(model).parameters())


def strip_weights(model: dict) -> None:
    """Leave out everything that would be downloaded, and sizes that a preprocessor would pad to."""
    model.pop('pretrained', None)
    for part in model.values():
        for piece in part if isinstance(part, list) else [part]:
            if isinstance(piece, dict):
                piece.pop('pretrained', None)
                piece.pop('init_cfg', None)
                strip_weights(piece)


def step(method: str, segmentor: dict, crop: int) -> str | None:
    """Take one step; say what went wrong, if anything."""
    torch.manual_seed(0)
    try:
        options = {}
        if method in ('FixMatch', 'UniMatch'):  # so that a network without weights has pseudo labels to learn from
            options = dict(consistency=[dict(type='PseudoLabelCrossEntropyLoss', threshold=0.0)])
        segmentor = Config(dict(segmentor=segmentor)).segmentor
        if 'img_size' in segmentor.get('backbone', {}):  # the only size that some take
            segmentor.backbone.img_size = (crop, crop)
        if method == 'ContextAwareConsistency':
            plain = revert_sync_batchnorm(MODELS.build(segmentor)).eval()
            classifier(plain)  # or says what is missing
            with torch.no_grad():
                logits = plain._forward(torch.randn(1, 3, crop, crop))
            logits = logits[-1] if isinstance(logits, (list, tuple)) else logits
            options = dict(stride=max(8, crop // logits.shape[-1]))
        model = revert_sync_batchnorm(MODELS.build(dict(type=method, segmentor=segmentor, **options))).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        total, _ = model.parse_losses(model.loss(*make_batch(model, crop)))
        total.backward()
        optimizer.step()
        if not total.isfinite():
            return f'loss is {total.item()}'
        return None
    except Exception as error:
        return f'{type(error).__name__}: {error}'.splitlines()[0][:300]


def make_batch(model: SemiSegmentor, crop: int) -> tuple[dict, dict]:
    """Make two labelled images, with edges for the networks that learn them, and four unlabelled ones."""
    batch = random_batch(model.view_names, 2, 4, crop, model.student.num_classes)
    for sample in batch['data_samples']['labeled']:
        sample.set_metainfo(dict(img_shape=(crop, crop), ori_shape=(crop, crop), pad_shape=(crop, crop)))
        sample.gt_edge_map = PixelData(data=sample.gt_sem_seg.data % 2)
    return {view: torch.stack(images) for view, images in batch['inputs'].items()}, batch['data_samples']


def row(result: dict) -> str:
    """Write a line of the table."""
    if 'methods' not in result:
        return f'| {result["family"]} | {result["error"]} |' + ' |' * (len(METHODS) + 1)
    marks = ['yes' if error is None else 'no' for error in result['methods'].values()]
    return f'| {result["family"]} | {result["config"]} | {result["crop"]} | {" | ".join(marks)} |'


def table(results: list[dict]) -> list[str]:
    """Write the table, and the reasons of what failed."""
    head = ['family', 'config', 'crop', *METHODS]
    lines = ['', f'| {" | ".join(head)} |', '|---' * len(head) + '|', *map(row, results), '']
    for result in results:
        for method, error in result.get('methods', {}).items():
            if error is not None:
                lines.append(f'- {result["family"]}, {method}: {error}')
    return lines


if __name__ == '__main__':
    main()
