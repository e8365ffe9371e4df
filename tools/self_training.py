"""Train on labels, write pseudo labels, train again on both.

    python tools/self_training.py CONFIG

takes a supervised config, of this package or of mmseg, through the three stages in ``work_dirs/self-training_CONFIG``:

1. ``1_supervised``: the config is trained on its labelled images;
2. ``2_pseudo_labels``: the network's confident predictions of the unlabelled images become annotations;
3. ``3_self_training``: a new network is trained on both, about half of each batch being pseudo-labelled, with the
   config ``self_training.py``, which is written there to be read, changed and trained again.

Run again, it goes on where it was interrupted. On several GPUs: ``torchrun --nproc_per_node GPUS tools/self_training.py
CONFIG --launcher pytorch``. `Zoph et al., Rethinking Pre-training and Self-training, NeurIPS 2020
<https://arxiv.org/abs/2006.06882>`_; row ST in Table 3 of `Lai et al. 2021 <https://arxiv.org/abs/2106.14133>`_.
"""

import argparse
from pathlib import Path
from pprint import pformat

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.device import get_device
from mmengine.dist import barrier, is_main_process
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmseg_semi.datasets.conversion import errors_in_one_sentence
from mmseg_semi.engine.launch import add_launcher, join_processes, leave_together, train_to_end
from mmseg_semi.engine.pseudo_labels import (
    check_threshold,
    find_unlabeled,
    fingerprint_file,
    segment,
    write_pseudo_labels,
)
from mmseg_semi.models import load_segmentor
from mmseg_semi.utils.config import imports_with_ours, load_config
from mmseg_semi.utils.files import check_checkpoint, replace_file

HEADER = """# Made by tools/self_training.py: labels, and pseudo labels with a confidence of {threshold} and more.
_base_ = './supervised.py'
custom_imports = dict(imports={imports}, allow_failed_imports=False)
pseudo_labels = '{{{{ fileDirname }}}}/2_pseudo_labels/'
pseudo_labeled = dict(
    type='PseudoLabeledDataset',
    data_prefix=dict(img_path={folder!r}, seg_map_path=pseudo_labels + 'annotations'),
    ann_file=pseudo_labels + 'images.txt',
    metainfo=dict(classes={classes}),
    pipeline=_base_.train_dataloader.dataset{path}.pipeline,
)
{from_zero}"""
SEMI = """train_dataloader = dict(
    batch_size={batch_size},
    sampler=dict(batch_size={batch_size}, source_ratio=[1, 1]),
    dataset=dict(pseudo_labeled=pseudo_labeled),
)
"""
# Labelled images are repeated until there are as many as pseudo-labelled ones.
PLAIN = """labeled = dict(type='RepeatDataset', times={times}, dataset=_base_.train_dataloader.dataset{path})
train_dataloader = dict(
    batch_size={batch_size},
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[labeled, pseudo_labeled],
        ignore_keys={ignore_keys},
    ),
)
"""
# Annotations may start from 1, pseudo labels do not.
FROM_ZERO = """pseudo_labeled['pipeline'] = [
    {**step, 'reduce_zero_label': False} if step['type'] == 'LoadAnnotations' else step
    for step in pseudo_labeled['pipeline']
]
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='supervised config file')
    parser.add_argument('--images', metavar='FOLDER', help="folder of unlabelled images; default: the config's own")
    parser.add_argument('--list', help="list of images; default: the config's, or all of FOLDER")
    parser.add_argument('--threshold', type=float, default=0.9, help='least confidence (default: %(default)s)')
    parser.add_argument('--checkpoint', help='trained network to start from, in place of stage 1')
    parser.add_argument('--work-dir', type=Path, help='default: work_dirs/self-training_CONFIG_NAME')
    parser.add_argument('--amp', action='store_true', help='train with automatic mixed precision (GPU only)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of both trainings')
    add_launcher(parser)
    return parser.parse_args()


def find_labeled(cfg: Config) -> tuple[ConfigDict, str]:
    """Give the config of the labelled images, and where in ``train_dataloader.dataset`` it is.

    Raises:
        ValueError: If there is not one dataset of labelled images alone.
    """
    dataset, path = cfg.train_dataloader.dataset, ''
    if dataset.get('unlabeled') is not None:
        raise ValueError('the config trains on unlabelled images already: give its supervised twin')
    while dataset.type in ('SemiDataset', 'RepeatDataset'):
        inner = 'labeled' if dataset.type == 'SemiDataset' else 'dataset'
        dataset, path = dataset[inner], f'{path}.{inner}'
    if 'pipeline' not in dataset:
        raise ValueError(f'train_dataloader.dataset is a {dataset.type}: give a config with one dataset and a pipeline')
    return dataset, path


def check_ignored(cfg: Config) -> None:
    """See that the heads ignore what pseudo labels mark as unsure.

    Raises:
        ValueError: If one ignores another id.
    """
    segmentor = cfg.model.get('segmentor', cfg.model)
    for name in ('decode_head', 'auxiliary_head'):
        heads = segmentor.get(name) or []
        for head in [heads] if isinstance(heads, dict) else heads:
            if head.get('ignore_index', 255) != 255:
                raise ValueError(
                    f'{name}.ignore_index={head.ignore_index}, but pixels without a pseudo label are 255: write 255 '
                    'into the annotations, too, and leave it out'
                )


def write_once(path: Path, text: str) -> None:
    """Write a text file in one step, on the first process, unless it is there."""
    if is_main_process() and not path.exists():
        with replace_file(path) as draft:
            draft.write_text(text)
    barrier()


def compose(cfg: Config, folder: str, num_pseudo_labeled: int, threshold: float) -> str:
    """Write the config of stage 3."""
    labeled, path = find_labeled(cfg)
    dataset = DATASETS.build(labeled)
    names = dict(
        threshold=threshold,
        path=path,
        imports=imports_with_ours(cfg),
        folder=folder,
        classes=pformat(tuple(dataset.metainfo['classes']), width=110, compact=True),
        from_zero=FROM_ZERO if any('reduce_zero_label' in step for step in labeled.pipeline) else '',
        batch_size=2 * cfg.train_dataloader.batch_size,
        times=max(1, round(num_pseudo_labeled / len(dataset))),
        ignore_keys=sorted(dataset.metainfo),
    )
    body = SEMI if cfg.train_dataloader.dataset.type == 'SemiDataset' else PLAIN
    return HEADER.format(**names) + body.format(**names)


def main(args: argparse.Namespace) -> None:
    check_threshold(args.threshold)
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    check_ignored(cfg)
    folder, names = find_unlabeled(cfg, args.images, args.list, labeled=find_labeled(cfg)[0])
    if args.checkpoint:
        check_checkpoint(args.checkpoint)

    work_dir = args.work_dir or Path('work_dirs') / f'self-training_{Path(args.config).stem}'
    supervised = work_dir / 'supervised.py'
    join_processes(cfg, args.launcher)
    write_once(supervised, cfg.pretty_text)
    if Config.fromfile(supervised).pretty_text != cfg.pretty_text:
        raise ValueError(f'{work_dir} was begun with other settings than {args.config}: choose another --work-dir')

    checkpoint = args.checkpoint or train_to_end(cfg, work_dir / '1_supervised', args.launcher, args.amp)
    model = load_segmentor(cfg, checkpoint).to(get_device())
    write_pseudo_labels(
        segment(model, args.threshold), folder, names, work_dir / '2_pseudo_labels', model.dataset_meta,
        record=dict(threshold=args.threshold, checkpoint=fingerprint_file(checkpoint)),
    )  # fmt: skip
    del model
    config = work_dir / 'self_training.py'
    write_once(config, compose(cfg, folder, len(names), args.threshold))
    checkpoint = train_to_end(Config.fromfile(config), work_dir / '3_self_training', args.launcher, args.amp)
    print(f'Trained: {config}, {checkpoint}')


if __name__ == '__main__':
    with errors_in_one_sentence():
        main(parse_args())
        leave_together()
