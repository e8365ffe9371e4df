"""Take the teacher or the student out of a checkpoint, as a plain one that mmseg loads without this package.

    python tools/model_converters/export_segmentor.py work_dirs/NAME/iter_1200.pth segmentor.pth

The wrapped segmentor's own config loads the result. ``--with-config`` writes one for testing and inference beside it.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from mmseg_semi.models import branch_weights
from mmseg_semi.utils.files import check_checkpoint, replace_file

# What testing and inference need of a config.
KEPT = (
    'custom_imports', 'default_scope', 'env_cfg', 'log_level', 'model', 'submission', 'test_cfg', 'test_dataloader',
    'test_evaluator', 'test_pipeline', 'tta_model', 'tta_pipeline', 'vis_backends', 'visualizer',
)  # fmt: skip


def plain_config(cfg: Config) -> Config:
    """Give the part of a config that tests its wrapped segmentor."""
    plain = {key: cfg[key] for key in KEPT if key in cfg}
    return Config(without_our_scope({**plain, 'model': cfg.model.segmentor, 'val_cfg': None, 'train_cfg': None}))


def without_our_scope(value: Any) -> Any:
    """Leave out the scope of what a config inherited from ``mmseg_semi::``, which only this package knows."""
    if isinstance(value, dict):
        return {k: without_our_scope(v) for k, v in value.items() if (k, v) != ('_scope_', 'mmseg_semi')}
    if isinstance(value, list | tuple):
        return type(value)(map(without_our_scope, value))
    return value


def export(checkpoint: dict, branch: str | None = None) -> tuple[str, dict]:
    """Give a branch and its plain checkpoint, without the state of training.

    Args:
        checkpoint (dict): Of a :class:`SemiSegmentor`.
        branch (str, optional): ``'teacher'`` or ``'student'``. Defaults to the ``predict_on`` of the model.

    Raises:
        ValueError: If the checkpoint has no such branch.
    """
    meta = dict(checkpoint.get('meta', {}))
    cfg = Config.fromstring(meta['cfg'], '.py') if meta.get('cfg') else None
    branch = branch or (cfg.model.get('predict_on', 'teacher') if cfg else 'teacher')
    weights = branch_weights(checkpoint, branch)
    if not weights:
        raise ValueError(f'no weight of a {branch} in it: is it a checkpoint of a semi-supervised model?')
    if cfg:
        meta['cfg'] = plain_config(cfg).pretty_text
    return branch, dict(meta=meta, state_dict=weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', type=Path, help='checkpoint of a semi-supervised model')
    parser.add_argument('out', type=Path, help='checkpoint to write')
    parser.add_argument('--predict-on', choices=['teacher', 'student'], help="default: the model's own predict_on")
    parser.add_argument('--with-config', action='store_true', help='also write OUT with the suffix .py, its config')
    parser.add_argument('--force', action='store_true', help='overwrite what is there')
    args = parser.parse_args()
    check_checkpoint(args.checkpoint)
    config = args.out.with_suffix('.py')
    for path in (args.out, config) if args.with_config else (args.out,):
        if path.exists() and not args.force:
            raise SystemExit(f'{path} exists; give --force to overwrite it')
    try:
        checkpoint = CheckpointLoader.load_checkpoint(str(args.checkpoint), map_location='cpu')
        branch, exported = export(checkpoint, args.predict_on)
    except ValueError as error:
        raise SystemExit(f'{args.checkpoint}: {error}') from None
    if args.with_config and 'cfg' not in exported['meta']:
        raise SystemExit(f'{args.checkpoint} holds no config to write')
    with replace_file(args.out) as draft:
        torch.save(exported, draft)
    print(f'{args.out}: {branch}, {len(exported["state_dict"])} tensors')
    if args.with_config:
        config.write_text(exported['meta']['cfg'])
        print(f'{config}: its config, for testing and inference')


if __name__ == '__main__':
    main()
