import runpy
from pathlib import Path

import mmcv
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS

from mmseg_semi.datasets import TexturedScenesDataset

ROOT = Path(__file__).parents[2]


@DATASETS.register_module()
class FolderOfScenes(TexturedScenesDataset):
    """A dataset with a constructor of its own, that lists a folder, whatever it is told."""

    def __init__(self, data_root: str, data_prefix: dict, pipeline: list, ann_file: str = '') -> None:
        folder = dict(img_path='images/val', seg_map_path='annotations/val')
        super().__init__(data_root=data_root, data_prefix=folder, pipeline=pipeline)


@pytest.fixture
def supervised(tiny_config, tmp_path):
    """A plain mmseg config, as a user has it, its path and that of the data."""
    cfg = tiny_config('SemiSegmentor')
    dataset = cfg.train_dataloader.dataset.labeled
    plain = dict(
        default_scope='mmseg',
        model=cfg.model.segmentor,
        train_dataloader=dict(
            batch_size=2, num_workers=0, sampler=dict(type='InfiniteSampler', shuffle=True), dataset=dataset
        ),
        train_cfg=dict(by_epoch=False, max_iters=2, val_interval=2),
        optim_wrapper=cfg.optim_wrapper,
        val_dataloader=cfg.val_dataloader,
        val_evaluator=cfg.val_evaluator,
        val_cfg=dict(type='ValLoop'),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2),
            logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False),
            visualization=dict(type='SegVisualizationHook'),
        ),
        visualizer=cfg.visualizer,
        log_processor=dict(by_epoch=False),
    )
    path = tmp_path / 'mine.py'
    Config(plain).dump(path)
    return path, dataset.data_root


@pytest.mark.parametrize('method', ['structured_consistency', 'cutmix', 'unimatch', 'context_aware_consistency'])
def test_what_it_writes_trains(run_tool, supervised, tmp_path, method):
    path, root = supervised
    cfg = Config.fromfile(path)
    (crop,) = (step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'RandomCrop')
    crop.cat_max_ratio = 0.75
    if method == 'context_aware_consistency':  # a crop's size may be one number
        assert crop.crop_size[0] == crop.crop_size[1]
        crop.crop_size = crop.crop_size[0]
    cfg.dump(path)
    out = tmp_path / 'semi.py'
    lists = [f'{root}/splits/{name}.txt' for name in ('labeled', 'unlabeled')]
    done = run_tool(
        'make_semi_config.py', path, '--method', method, '--labeled', lists[0], '--unlabeled', lists[1], '-o', out
    )
    assert done.returncode == 0, done.stderr
    crops = 2 if method == 'context_aware_consistency' else 4
    assert f"{{'labeled': 4, 'unlabeled': 6}} images, {{'labeled': 2, 'unlabeled': {crops}}} a batch" in done.stdout
    # Where no class is known, no crop has several.
    assert not any('cat_max_ratio' in step for step in Config.fromfile(out).train_dataloader.dataset.unlabeled.pipeline)
    assert trained(out, path).model.mixes_pairs == (method != 'context_aware_consistency')


def test_unlabelled_images_are_read_and_prepared_as_labelled_ones(run_tool, supervised, tmp_path):
    path, root = supervised
    cfg = Config.fromfile(path)
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline[0].imdecode_backend = 'pillow'
    pipeline.insert(2, dict(type='CLAHE', clip_limit=2.0))
    pipeline.insert(3, dict(type='RandomCutOut', prob=0.0, n_holes=1, cutout_ratio=(0.1, 0.1)))
    cfg.custom_hooks = [dict(type='EMAHook'), dict(type='EarlyStoppingHook', monitor='mIoU')]
    cfg.randomness = dict(seed=7, deterministic=True)
    cfg.dump(path)
    lists = [f'{root}/splits/{name}.txt' for name in ('labeled', 'unlabeled')]
    options = ('--method', 'unimatch', '--labeled', lists[0], '--unlabeled', lists[1])
    done = run_tool('make_semi_config.py', path, *options, '-o', tmp_path / 'semi.py')
    assert done.returncode == 0, done.stderr
    assert 'Unlabelled images do not pass RandomCutOut: give --prepare with what prepares images' in done.stdout
    made = Config.fromfile(tmp_path / 'semi.py')
    steps = made.train_dataloader.dataset.unlabeled.pipeline
    assert steps[0] == dict(type='LoadUnlabeledImage', imdecode_backend='pillow')
    assert steps[1] == dict(type='CLAHE', clip_limit=2.0)
    assert made.custom_hooks == cfg.custom_hooks[1:]
    assert made.randomness == cfg.randomness
    done = run_tool('make_semi_config.py', path, *options, '--prepare', 'RandomCutOut', '-o', tmp_path / 'more.py')
    assert 'do not pass' not in done.stdout
    done = run_tool('make_semi_config.py', path, *options, '--prepare', 'RandomCut', '-o', tmp_path / 'none.py')
    assert done.stderr.endswith('has no RandomCut')
    steps = Config.fromfile(tmp_path / 'more.py').train_dataloader.dataset.unlabeled.pipeline
    assert [step.type for step in steps[1:3]] == ['CLAHE', 'RandomCutOut']


def test_contrast_waits_for_the_paper_s_5_of_80_epochs_and_has_cells_of_any_stride(run_tool, supervised, tmp_path):
    path, root = supervised
    cfg = Config.fromfile(path)
    cfg.train_cfg.max_iters = 160
    cfg.dump(path)
    lists = [f'{root}/splits/{name}.txt' for name in ('labeled', 'unlabeled')]
    options = ('--method', 'context_aware_consistency', '--labeled', lists[0], '--unlabeled', lists[1])
    done = run_tool('make_semi_config.py', path, *options, '--stride', 16, '-o', tmp_path / 'semi.py')
    assert done.returncode == 0, done.stderr
    semi = Config.fromfile(tmp_path / 'semi.py')
    assert semi.model.unsup_start == 10
    assert semi.model.stride == semi.train_dataloader.dataset.unlabeled.pipeline[-2].stride == 16


def test_a_dataset_that_does_not_read_the_list_is_told_of(run_tool, supervised, tmp_path):
    path, root = supervised
    cfg = Config.fromfile(path)
    cfg.train_dataloader.dataset.type = 'FolderOfScenes'
    cfg.dump(path)
    options = ('--method', 'supervised', '--labeled', f'{root}/splits/labeled.txt', '-o', tmp_path / 'semi.py')
    done = run_tool('make_semi_config.py', path, *options)
    assert done.returncode == 0, done.stderr
    images = len(list(Path(root, 'images/val').iterdir()))
    assert f'labeled.txt has 4 lines, FolderOfScenes {images} images' in done.stdout


@pytest.mark.parametrize(('method', 'stride'), [('context_aware_consistency', 0), ('unimatch', 16)])
def test_a_stride_is_of_context_aware_consistency_alone(run_tool, supervised, tmp_path, method, stride):
    path, root = supervised
    lists = ('--labeled', f'{root}/splits/labeled.txt', '--unlabeled', f'{root}/splits/unlabeled.txt')
    options = ('--method', method, *lists, '--stride', stride, '-o', tmp_path / 'semi.py')
    assert f'--stride {stride}: give pixels' in run_tool('make_semi_config.py', path, *options).stderr


def trained(out, path):
    """Train a config that the tool made of another one."""
    cfg = Config.fromfile(out)
    assert cfg.optim_wrapper == Config.fromfile(path).optim_wrapper
    cfg.work_dir = str(out.parent / 'work')
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 2
    assert {'val/student/mIoU', 'val/teacher/mIoU'} <= runner.message_hub.log_scalars.keys()
    return runner


def test_its_supervised_twin_trains_on_the_same_labels_alone(run_tool, supervised, tmp_path):
    path, root = supervised
    out, labels = tmp_path / 'semi.py', f'{root}/splits/labeled.txt'
    done = run_tool('make_semi_config.py', path, '--method', 'supervised', '--labeled', labels, '-o', out)
    assert done.returncode == 0, done.stderr
    assert "SemiSegmentor of EncoderDecoder, {'labeled': 4} images, {'labeled': 2} a batch" in done.stdout
    runner = trained(out, path)
    assert type(runner.model).__name__ == 'SemiSegmentor'
    assert list(runner.train_dataloader.dataset.parts) == ['labeled']


def test_imports_of_the_config_stay_and_no_validation_is_added(run_tool, supervised, tmp_path, monkeypatch):
    path, root = supervised
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'my_modules.py').touch()
    cfg = Config.fromfile(path)
    cfg.custom_imports = dict(imports='my_modules')
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.dump(path)
    out = tmp_path / 'semi.py'
    done = run_tool('make_semi_config.py', path, '--method', 'supervised', '--labeled', f'{root}/splits/labeled.txt',
                    '-o', out)  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = Config.fromfile(out)
    assert made.custom_imports.imports == ['my_modules', 'mmseg_semi']
    made.work_dir = str(tmp_path / 'work')
    Runner.from_cfg(made).train()


@pytest.mark.parametrize(('method', 'given'), [('supervised', True), ('unimatch', False)])
def test_unlabelled_images_are_for_methods_alone(run_tool, supervised, tmp_path, method, given):
    path, root = supervised
    more = ['--unlabeled', f'{root}/images/val'] if given else []
    done = run_tool('make_semi_config.py', path, '--method', method, '--labeled', f'{root}/splits/labeled.txt', *more,
                    '-o', tmp_path / 'semi.py')  # fmt: skip
    assert done.returncode == 1
    assert 'every method but supervised needs' in done.stderr
    assert not (tmp_path / 'semi.py').exists()


def test_labels_are_never_those_of_a_folder(run_tool, supervised, tmp_path):
    path, root = supervised
    done = run_tool('make_semi_config.py', path, '--method', 'fixmatch', '--labeled', f'{root}/images/train',
                    '--unlabeled', f'{root}/images/val', '-o', tmp_path / 'semi.py')  # fmt: skip
    assert done.returncode == 1
    assert 'is no file: give a list of images' in done.stderr


def test_unlabelled_images_may_come_from_a_folder(run_tool, supervised, tmp_path):
    path, root = supervised
    out = tmp_path / 'semi.py'
    done = run_tool('make_semi_config.py', path, '--method', 'fixmatch', '--labeled', f'{root}/splits/labeled.txt',
                    '--unlabeled', f'{root}/images/val', '-o', out)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "'unlabeled': 2}" in done.stdout


def test_a_config_that_mmseg_ships_is_read_with_the_suffix_that_its_dataset_knows(run_tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image, label = (np.zeros((96, 192, *channels), np.uint8) for channels in ((3,), ()))
    for name in 'abc':
        mmcv.imwrite(image, f'data/cityscapes/leftImg8bit/train/x/{name}_leftImg8bit.png')
        mmcv.imwrite(label, f'data/cityscapes/gtFine/train/x/{name}_gtFine_labelTrainIds.png')
    Path('labeled.txt').write_text('x/a\n')
    Path('unlabeled.txt').write_text('x/b\nx/c\n')
    config = 'mmseg::cgnet/cgnet_fcn_4xb4-60k_cityscapes-680x680.py'
    lists = ['--labeled', 'labeled.txt', '--unlabeled', 'unlabeled.txt']
    done = run_tool('make_semi_config.py', config, '--method', 'unimatch', *lists, '-o', 'semi.py')
    assert done.returncode == 0, done.stderr
    assert "UniMatch of EncoderDecoder, {'labeled': 1, 'unlabeled': 2} images" in done.stdout
    unlabeled = Config.fromfile('semi.py').train_dataloader.dataset.unlabeled
    assert unlabeled.img_suffix == '_leftImg8bit.png'


@pytest.mark.parametrize(
    ('folder', 'base'),
    [(ROOT / 'configs/mine', '../_base_/methods/unimatch.py'), (Path('/'), 'mmseg_semi::_base_/methods/unimatch.py')],
    ids=['inside', 'outside'],
)
def test_a_method_is_inherited_by_its_path_inside_the_repository_and_from_the_package_outside(supervised, folder, base):
    path, root = supervised
    lists = [f'{root}/splits/{name}.txt' for name in ('labeled', 'unlabeled')]
    make = runpy.run_path(str(ROOT / 'tools/make_semi_config.py'))['make']
    text = make(str(path), 'unimatch', *lists, folder / 'semi.py', prepare=(), stride=None)
    assert f'    {base!r},\n]' in text


@pytest.mark.parametrize(('change', 'message'), [
    (dict(train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2, _delete_=True)), 'counts epochs'),
    (dict(train_dataloader=dict(dataset=dict(pipeline=[dict(type='LoadImageFromFile')]))), 'has no RandomCrop'),
    (dict(train_dataloader=dict(dataset=dict(_delete_=True, type='ConcatDataset', datasets=[]))), 'give one dataset'),
    (dict(model=dict(decode_head=dict(type='Unknown'))), 'does not build'),
    (dict(model=dict(data_preprocessor=dict(size=None))), 'the data preprocessor has no size'),
])  # fmt: skip
def test_a_config_that_cannot_be_wrapped_is_refused_in_a_sentence(run_tool, supervised, tmp_path, change, message):
    path, root = supervised
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(change)
    cfg.dump(path)
    lists = [f'{root}/splits/{name}.txt' for name in ('labeled', 'unlabeled')]
    done = run_tool('make_semi_config.py', path, '--method', 'fixmatch', '--labeled', lists[0], '--unlabeled', lists[1],
                    '-o', tmp_path / 'semi.py')  # fmt: skip
    assert done.returncode == 1
    assert message in done.stderr
    assert 'Traceback' not in done.stderr
    assert not list(tmp_path.glob('*semi.py'))


def test_a_config_in_python_alone_is_refused_as_such(run_tool, supervised, tmp_path):
    _, root = supervised
    (tmp_path / 'base.py').write_text('train_cfg = dict(max_iters=2)\n')
    path = tmp_path / 'python.py'
    path.write_text(
        'from mmengine.config import read_base\nfrom mmseg.models import EncoderDecoder\n\n'
        'with read_base():\n    from .base import *\nmodel = dict(type=EncoderDecoder)\n'
    )
    done = run_tool('make_semi_config.py', path, '--method', 'supervised', '--labeled', f'{root}/splits/labeled.txt',
                    '-o', tmp_path / 'semi.py')  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f'{path} is written in Python alone (read_base)')
    assert 'Traceback' not in done.stderr
    assert not list(tmp_path.glob('*semi.py'))
