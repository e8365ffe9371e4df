"""Make a supervised mmseg config semi-supervised.

Writes a short config that inherits yours, wraps its model in a method, and trains on a labelled list and on unlabelled
images; it is built, and samples of each part are tried, before it is kept, so that what does not fit is said at once.
``--method supervised`` writes what to compare with: the same training on the labelled list alone.

Examples:
    python tools/make_semi_config.py my_config.py --method supervised --labeled splits/1_8/labeled.txt -o supervised.py
    python tools/make_semi_config.py my_config.py --method unimatch --labeled splits/1_8/labeled.txt \\
        --unlabeled splits/1_8/unlabeled.txt -o unimatch.py
"""

import argparse
import os.path as osp
from collections.abc import Collection, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS

from mmseg_semi.datasets.semi_dataset import build_lazily
from mmseg_semi.datasets.splits import IMAGE_SUFFIXES, read_list
from mmseg_semi.engine.hooks import DatasetCheckHook
from mmseg_semi.utils.config import imports_with_ours, load_config
from mmseg_semi.utils.files import replace_file

ROOT = Path(__file__).resolve().parents[1]
METHODS = ROOT / 'configs/_base_/methods'
GEOMETRY = {
    'RandomChoiceResize', 'RandomCrop', 'RandomFlip', 'RandomResize', 'RandomRotate', 'RandomRotFlip', 'Resize',
    'ResizeShortestEdge', 'ResizeToMultiple',
}  # fmt: skip
# What is done to all images alike.
PREPARATION = {'AdjustGamma', 'CLAHE', 'Rerange', 'RGB2Gray'}
# What unlabelled images have no use for, or a method's own views in its place.
LEFT_OUT = {'LoadAnnotations', 'LoadImageFromFile', 'PackSegInputs', 'PhotoMetricDistortion'}

TEMPLATE = """# Made by tools/make_semi_config.py: {name}, trained with {method}.
_base_ = [
{bases}]
custom_imports = dict(imports={imports}, allow_failed_imports=False)
env_cfg = dict(dist_cfg=dict(timeout=3600))  # seconds that others wait at most while the first process checks the data
model = dict(_delete_=True, {model})

labeled = _base_.train_dataloader.dataset{wrapped}
labeled.ann_file = {labeled!r}
{unlabeled}train_dataloader = dict(
    batch_size={batch_size},
    sampler=dict(_delete_=True, type='SemiSampler', batch_size={batch_size}, source_ratio={ratio}),
    collate_fn=dict(type='semi_collate'),
    dataset=dict(_delete_=True, type='SemiDataset', {parts}),
)
train_cfg = dict(_delete_=True, type='SemiIterBasedTrainLoop', {train_cfg})
{validation}default_hooks = dict(
    checkpoint=dict(type='SafeCheckpointHook'),
    dataset_check=dict(type='DatasetCheckHook'),
    iter_seed=dict(type='IterSeedHook'),
    mean_teacher=dict(type='MeanTeacherHook', momentum=0.001, warmup=True),
    invalid_loss=dict(type='InvalidLossHook'),
    pseudo_label=dict(type='PseudoLabelVisualizationHook'),
)
{rest}"""
UNLABELED = """geometry = [
{geometry}]
{crop}unlabeled = dict(
    type='UnlabeledDataset',
{source}    pipeline=[{loader}, *geometry, *{views}],
)
"""
PAIRED = """views = _base_.views
views[0].update(crop_size={crop_size!r}, stride={stride})
model['stride'] = {stride}
"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    methods = ['supervised', *sorted(path.stem for path in METHODS.glob('*.py'))]
    parser.add_argument('config', help='supervised config file of mmseg, or mmseg::NAME for one that it ships')
    parser.add_argument('--method', required=True, choices=methods, help='what to train with')
    parser.add_argument('--labeled', required=True, help='list of labelled images, as ann_file of your dataset')
    parser.add_argument('--unlabeled', help='list in the same folder of images, or a folder of its own')
    parser.add_argument(
        '--prepare', nargs='+', default=[], metavar='TRANSFORM',
        help='own transforms of the pipeline that prepare images, and that unlabelled ones pass too',
    )  # fmt: skip
    parser.add_argument(
        '--stride', type=int,
        help='pixels of a feature cell, of context-aware consistency alone: 16 for most ViTs (default: 8)',
    )  # fmt: skip
    parser.add_argument('-o', '--out', type=Path, required=True, help='config file to write')
    return parser.parse_args()


def make(
    config: str, method: str, labeled: str, unlabeled: str | None, out: Path, prepare: Sequence[str], stride: int | None
) -> str:
    """Compose the config.

    Raises:
        SystemExit: If the supervised config is of a kind that cannot be wrapped.
    """
    base = load_config(config)
    if not isinstance(base.get('model', {}).get('type', ''), str):
        raise SystemExit(f'{config} is written in Python alone (read_base), which a list of _base_ cannot inherit')
    for key in ('model', 'train_dataloader', 'train_cfg'):
        if key not in base:
            raise SystemExit(f'{config} has no {key}: give the config file that you would train')
    if hasattr(MODELS.get(base.model.type), 'loss_unlabeled'):
        raise SystemExit(f'{config} is semi-supervised already: its model is {base.model.type}')
    if 'max_iters' not in base.train_cfg:
        raise SystemExit(f'{config} counts epochs: set train_cfg=dict(type="IterBasedTrainLoop", max_iters=...) first')
    dataset, wrapped = base.train_dataloader.dataset, ''
    while dataset.type == 'RepeatDataset':
        dataset, wrapped = dataset.dataset, f'{wrapped}.dataset'
    if 'pipeline' not in dataset:
        raise SystemExit(
            f'train_dataloader.dataset of {config} is a {dataset.type}: give one dataset with a pipeline, whose list '
            'may name images of several folders; for VOC with its extra annotations, see docs/datasets/voc.md'
        )

    strange = set(prepare) - {step.type for step in dataset.pipeline}
    if strange:
        raise SystemExit(f'--prepare: the training pipeline of {config} has no {", ".join(sorted(strange))}')

    labeled, folder = osp.abspath(labeled), out.resolve().parent
    bases = [config if '::' in config else osp.relpath(config, folder)]
    model, parts, block = "type='SemiSegmentor', segmentor=_base_.model", 'labeled=labeled', ''
    ratio = [base.train_dataloader.batch_size]
    if unlabeled:
        methods = osp.relpath(METHODS, folder) if folder.is_relative_to(ROOT) else 'mmseg_semi::_base_/methods'
        bases.append(f'{methods}/{method}.py')
        model, parts = 'segmentor=_base_.model, **_base_.method', f'{parts}, unlabeled=unlabeled'
        paired = method == 'context_aware_consistency'
        if paired:  # the paper's 5 of 80 epochs on the labels alone
            model = f'segmentor=_base_.model, unsup_start={base.train_cfg.max_iters // 16}, **_base_.method'
        ratio.append(ratio[0] if paired else 2 * ratio[0])
        stride = (stride or 8) if paired else None
        kept = PREPARATION.union(prepare)
        block = unlabeled_part(config, dataset, stride, labeled, osp.abspath(unlabeled), kept)
    rest = '' if base.get('randomness', {}).get('seed') is not None else 'randomness = dict(seed=0)\n'
    if any(hook['type'] == 'EMAHook' for hook in base.get('custom_hooks') or []):  # the teacher is one already
        rest += "custom_hooks = [hook for hook in _base_.custom_hooks if hook['type'] != 'EMAHook']\n"
    return TEMPLATE.format(
        name=osp.basename(config),
        method=method,
        imports=imports_with_ours(base),
        validation="val_cfg = dict(type='TeacherStudentValLoop')\n" if base.get('val_dataloader') else '',
        bases=''.join(f'    {base!r},\n' for base in bases),
        model=model,
        wrapped=wrapped,
        labeled=labeled,
        unlabeled=block,
        batch_size=sum(ratio),
        ratio=ratio,
        parts=parts,
        train_cfg=arguments({k: v for k, v in base.train_cfg.items() if k not in ('type', 'by_epoch')}),
        rest=rest,
    )


def unlabeled_part(
    config: str, dataset: dict, stride: int | None, labeled: str, unlabeled: str, preparation: Collection[str]
) -> str:
    """Write the unlabelled dataset, whose images are scaled and cropped as labelled ones are; with a stride, in pairs.

    Raises:
        SystemExit: If they are not cropped, or read in an own way.
    """
    # Crops with cat_max_ratio look at classes, of which unlabelled images have none.
    kept = [step for step in dataset.pipeline if step.type in GEOMETRY.union(preparation)]
    geometry = [{k: v for k, v in step.items() if k != 'cat_max_ratio'} for step in kept]
    unknown = [step.type for step in dataset.pipeline if step not in kept and step.type not in LEFT_OUT]
    if unknown:
        print(
            f'Unlabelled images do not pass {", ".join(unknown)}: give --prepare with what prepares images; what '
            'augments them, the views of the method do'
        )
    loader = dataset.pipeline[0]
    if loader.type != 'LoadImageFromFile':
        raise SystemExit(f'{config} reads images with {loader.type}, unlabelled ones are read with LoadImageFromFile')
    crops = [step['crop_size'] for step in geometry if step['type'] == 'RandomCrop']
    if not crops:
        raise SystemExit(
            f'the training pipeline of {config} has no RandomCrop: add one, so that images can be stacked; where all '
            'have one size already, one of that size'
        )
    if stride:
        crop = [step['type'] for step in geometry].index('RandomCrop')
        geometry = geometry[:crop] + [step for step in geometry[crop:] if step['type'] in preparation]
    if osp.isdir(unlabeled):
        source = f'    data_prefix=dict(img_path={unlabeled!r}),\n'
    else:
        source = '    data_root=labeled.data_root,\n' if dataset.get('data_root') else ''
        source += "    data_prefix=dict(img_path=labeled.data_prefix['img_path']),\n"
        source += f'    ann_file={unlabeled!r},\n'
        suffix = image_suffix({**dataset, 'ann_file': labeled})
        if suffix not in IMAGE_SUFFIXES:  # those are tried anyway
            source += f'    img_suffix={suffix!r},\n'
    return UNLABELED.format(
        loader=call({**loader, 'type': 'LoadUnlabeledImage'}),
        geometry=''.join(f'    {call(step)},\n' for step in geometry),
        crop=PAIRED.format(crop_size=crops[0], stride=stride) if stride else '',
        views='views' if stride else '_base_.views',
        source=source,
    )


def image_suffix(dataset: dict) -> str:
    """Give what a list leaves out of the names of images, which most classes of datasets know.

    Raises:
        SystemExit: If the dataset does not build.
    """
    try:
        return build_lazily(dict(dataset, pipeline=[])).img_suffix
    except Exception as error:
        raise SystemExit(f'train_dataloader.dataset does not build: {str(error) or type(error).__name__}') from error


def call(step: dict) -> str:
    """Write a transform as configs do."""
    return f'dict({arguments(step)})'


def arguments(options: dict) -> str:
    """Write what stands between the brackets of a ``dict``."""
    return ', '.join(f'{key}={value!r}' for key, value in options.items())


def check(path: Path, name: Path, labeled: str) -> None:
    """Build the model, without weights, and the datasets, and see whether samples of each part fit it.

    Args:
        path (Path): Where the config lies.
        name (Path): What to call it.
        labeled (str): List of labelled images.

    Raises:
        SystemExit: Naming what does not fit.
    """
    cfg = Config.fromfile(path)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    cfg.model.segmentor.pretrained = None
    cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))  # as the runner does
    try:
        model = MODELS.build(cfg.model)
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        DatasetCheckHook().check_samples(dataset, model)
    except Exception as error:
        raise SystemExit(f'{name} is not written, since what it says does not build: {error}') from error
    named, part = len(read_list(labeled)), dataset.parts['labeled']
    if len(part) != named:
        print(
            f'WARNING: {labeled} has {named} lines, {type(part).__name__} {len(part)} images: see if it reads the list'
        )
    sizes, batch = (
        dict(zip(dataset.parts, numbers, strict=True))
        for numbers in (dataset.source_sizes, cfg.train_dataloader.sampler.source_ratio)
    )
    print(f'{type(model).__name__} of {type(model.student).__name__}, {sizes} images, {batch} a batch')


def main() -> None:
    """Write and check."""
    args = parse_args()
    if not osp.isfile(args.labeled):
        raise SystemExit(f'--labeled {args.labeled} is no file: give a list of images, one a line')
    if (args.unlabeled is None) != (args.method == 'supervised'):
        raise SystemExit('--unlabeled is what every method but supervised needs: a list of images, or a folder')
    if args.unlabeled and not osp.exists(args.unlabeled):
        raise SystemExit(f'--unlabeled {args.unlabeled} is not there: give a list of images, one a line, or a folder')
    if args.stride is not None and (args.stride < 1 or args.method != 'context_aware_consistency'):
        raise SystemExit(f'--stride {args.stride}: give pixels of a feature cell, for context_aware_consistency alone')
    if args.out.exists():
        raise SystemExit(f'{args.out} exists: remove it, or choose another name')
    text = make(args.config, args.method, args.labeled, args.unlabeled, args.out, args.prepare, args.stride)
    with replace_file(args.out) as draft:
        draft.write_text(text)
        check(draft, args.out, args.labeled)
    print(f'Written: {args.out}\nTrain it: python tools/train.py {args.out}, or mim train mmseg_semi {args.out}')


if __name__ == '__main__':
    main()
