"""A dataset and a config that train in seconds, for tests that need a whole run."""

import json
import os
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import BaseModule
from mmengine.registry import HOOKS, DefaultScope, init_default_scope
from mmseg.models.decode_heads import Mask2FormerHead
from mmseg.registry import MODELS
from mmseg.visualization import SegLocalVisualizer
from torch import Tensor, nn

from mmseg_semi.datasets.textured_scenes import CLASSES, generate_textured_scenes


@HOOKS.register_module()
class DyingHook(Hook):
    """Note iterations, and kill the training in a folder of the name ``dies_in`` before its iteration 3."""

    dies_in: str | None = None
    iterations: list[tuple[str, int]] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        name = Path(runner.work_dir).name
        if DyingHook.dies_in == name and runner.iter == 3:
            raise KeyboardInterrupt
        DyingHook.iterations.append((name, runner.iter))


@contextmanager
def as_another_process() -> Iterator[None]:
    """Run a block without what mmengine finds again by name, or by the second it began in, in one process."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in (DefaultScope, MessageHub, MMLogger, SegLocalVisualizer):
            patch.setattr(kind, '_instance_dict', type(kind._instance_dict)())
        yield


@pytest.fixture(autouse=True)
def iteration_of_no_other_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin before the first iteration: methods read it from the last message hub of the process."""
    monkeypatch.setattr(MessageHub, '_instance_dict', type(MessageHub._instance_dict)())


def child_environment(*folders: Path, **variables: str) -> dict[str, str]:
    """Give the environment of a process on one thread that imports what this one does, and from some more folders."""
    root = Path(__file__).parents[1]
    path = os.pathsep.join([str(root), *map(str, folders), *sys.path])
    return {**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', **variables}


def tiny_segmentor(norm_type: str = 'BN') -> dict:
    """Config of a very small network for the textured scenes, with an auxiliary head."""
    norm = dict(type=norm_type, requires_grad=True)
    head = dict(
        type='FCNHead', channels=8, num_convs=1, concat_input=False, dropout_ratio=0.1, num_classes=len(CLASSES),
        norm_cfg=norm, align_corners=False,
    )  # fmt: skip
    return dict(
        type='EncoderDecoder',
        data_preprocessor=dict(
            type='SegDataPreProcessor', mean=[127.0] * 3, std=[128.0] * 3, bgr_to_rgb=True, pad_val=0,
            seg_pad_val=255, size=(32, 32),
        ),
        backbone=dict(
            type='ResNetV1c', depth=18, base_channels=8, stem_channels=8, out_indices=(0, 1, 2, 3),
            strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), norm_cfg=norm, norm_eval=False, style='pytorch',
        ),
        decode_head=dict(**head, in_channels=64, in_index=3),
        auxiliary_head=dict(
            **head, in_channels=32, in_index=2, loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4)
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )  # fmt: skip


def cascade() -> dict:
    """A segmentor of two stages, the second of which refines the first."""
    segmentor = tiny_segmentor()
    head = segmentor.pop('decode_head')
    segmentor.pop('auxiliary_head')
    ocr = dict(head, type='OCRHead', ocr_channels=8)
    ocr.pop('num_convs'), ocr.pop('concat_input')
    return dict(segmentor, type='CascadeEncoderDecoder', num_stages=2, decode_head=[head, ocr])


def binary() -> dict:
    """A segmentor with one output channel for two classes."""
    segmentor = tiny_segmentor()
    segmentor['decode_head'].update(
        num_classes=2, out_channels=1, threshold=0.5, loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True)
    )
    segmentor.pop('auxiliary_head')
    return segmentor


@MODELS.register_module()
class TinyMaskHead(Mask2FormerHead):
    """mmseg's head, but for the queries and masks, which are mmdet's."""

    init_weights = BaseModule.init_weights

    def __init__(self, in_channels: int, num_classes: int) -> None:
        BaseModule.__init__(self)
        self.num_classes = self.out_channels = num_classes
        self.align_corners = False
        self.masks = nn.Conv2d(in_channels, num_classes, 1)
        self.classes = nn.Parameter(10 * torch.eye(num_classes, num_classes + 1))

    def forward(self, x: list[Tensor], batch_data_samples: list) -> tuple[list[Tensor], list[Tensor]]:
        masks = 100 * self.masks(x[-1])
        return [self.classes.expand(len(masks), -1, -1)], [masks]

    def loss(self, inputs: list[Tensor], batch_data_samples: list, train_cfg: dict) -> dict[str, Tensor]:
        truth = torch.cat([sample.gt_sem_seg.data for sample in batch_data_samples])
        (masks,) = self(inputs, batch_data_samples)[1]
        logits = F.interpolate(masks, truth.shape[1:], mode='bilinear')
        return dict(loss_mask=[F.cross_entropy(logits, truth, ignore_index=255)])


def mask_classification() -> dict:
    """A segmentor that gives scores rather than logits, and a list of losses."""
    segmentor = tiny_segmentor()
    segmentor.pop('auxiliary_head')
    return dict(segmentor, decode_head=dict(type='TinyMaskHead', in_channels=64, num_classes=8))


def pidnet() -> dict:
    """A segmentor whose backbone and head give three outputs in training and one at test."""
    norm = dict(type='BN')
    losses = [dict(type='CrossEntropyLoss'), dict(type='OhemCrossEntropy', thres=0.9, min_kept=100)]
    losses += [dict(type='BoundaryLoss'), dict(type='OhemCrossEntropy', thres=0.9, min_kept=100)]
    head = dict(type='PIDHead', in_channels=32, channels=16, num_classes=8, norm_cfg=norm, loss_decode=losses)
    backbone = dict(type='PIDNet', channels=8, ppm_channels=16, num_stem_blocks=1, num_branch_blocks=1, norm_cfg=norm)
    return dict(type='EncoderDecoder', backbone=backbone, decode_head=dict(head, align_corners=True), test_cfg={})


def knet() -> dict:
    """A segmentor whose head is a list of heads, the outputs of which are all trained on."""
    segmentor = tiny_segmentor()
    update = dict(
        type='KernelUpdateHead', num_classes=8, num_heads=2, num_mask_fcs=1, feedforward_channels=16, in_channels=8,
        out_channels=8, conv_kernel_size=1, ffn_act_cfg=dict(type='ReLU', inplace=True), num_ffn_fcs=2,
        with_ffn=True, feat_transform_cfg=dict(conv_cfg=dict(type='Conv2d'), act_cfg=None),
        kernel_updator_cfg=dict(
            type='KernelUpdator', in_channels=8, feat_channels=8, out_channels=8, act_cfg=dict(type='ReLU'),
            norm_cfg=dict(type='LN'),
        ),
    )  # fmt: skip
    generate = segmentor.pop('decode_head')
    head = dict(
        type='IterativeDecodeHead', num_stages=2, kernel_update_head=[update] * 2, kernel_generate_head=generate
    )
    return dict(segmentor, decode_head=head)


def encnet() -> dict:
    """A segmentor whose head gives the classes of the whole image beside those of the pixels."""
    segmentor = tiny_segmentor()
    loss_se = dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=0.2)
    segmentor['decode_head'].update(
        type='EncHead', in_channels=[32, 64], in_index=[2, 3], num_codes=4, loss_se_decode=loss_se
    )
    segmentor['decode_head'].pop('num_convs'), segmentor['decode_head'].pop('concat_input')
    return segmentor


def segformer() -> dict:
    """A segmentor with a transformer as backbone."""
    backbone = dict(
        type='MixVisionTransformer', embed_dims=8, num_layers=[1] * 4, num_heads=[1, 1, 2, 2], mlp_ratio=2,
    )  # fmt: skip
    head = dict(type='SegformerHead', in_channels=[8, 8, 16, 16], in_index=[0, 1, 2, 3], channels=8, num_classes=8)
    return dict(type='EncoderDecoder', backbone=backbone, decode_head=dict(head, align_corners=False), test_cfg={})


@pytest.fixture(scope='session')
def tiny_data(tmp_path_factory) -> Path:
    """Root of a dataset of 4 labelled, 6 unlabelled and 2 validation images of 40 x 48 pixels; only to be read."""
    root = tmp_path_factory.mktemp('data') / 'scenes'
    generate_textured_scenes(root, num_labeled=4, num_unlabeled=6, num_val=2, size=(40, 48))
    return root


def views(method: str, geometry: list[dict]) -> list[dict]:
    """Transforms of unlabelled images, from geometry to the views that a method asks for."""
    strong = [dict(type='StrongPhotometric')]
    if method == 'ContextAwareConsistency':
        crop = dict(type='PairedRandomCrop', crop_size=32, stride=8)
        return [geometry[0], crop, dict(type='MultiView', crop1=[geometry[-1], *strong], crop2=[geometry[-1], *strong])]
    region = dict(type='RandomCutMixRegion', num_boxes=4)
    if method == 'UniMatch':
        return [*geometry, dict(type='MultiView', weak=[], strong1=[region, *strong], strong2=[region, *strong])]
    return [*geometry, region, dict(type='MultiView', weak=[], strong=strong)]


@pytest.fixture
def tiny_config(tiny_data, tmp_path) -> Callable[..., Config]:
    """Make a config on that dataset: ``tiny_config(method='CutMixMeanTeacher', max_iters=4, segmentor=None, **model)``.

    The unlabelled part is left out for ``method='SemiSegmentor'``. Change what else is to differ in the config itself;
    ``config.dump(path)`` makes a file for the tools. The default scope is mmseg from then on.
    """

    def make(method: str = 'CutMixMeanTeacher', max_iters: int = 4, segmentor: dict | None = None, **model) -> Config:
        init_default_scope('mmseg')
        geometry = [
            dict(type='RandomResize', scale=(48, 40), ratio_range=(0.8, 1.5), keep_ratio=True),
            dict(type='RandomCrop', crop_size=(32, 32)),
            dict(type='RandomFlip', prob=0.5),
        ]
        load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
        common = dict(type='TexturedScenesDataset', data_root=str(tiny_data))
        train = dict(img_path='images/train', seg_map_path='annotations/train')
        labeled = dict(
            **common, data_prefix=train, ann_file='splits/labeled.txt',
            pipeline=[*load, *geometry, dict(type='PackSegInputs')],
        )  # fmt: skip
        unlabeled = dict(
            type='UnlabeledDataset', data_root=str(tiny_data), data_prefix=dict(img_path='images/train'),
            ann_file='splits/unlabeled.txt',
            pipeline=[
                dict(type='LoadUnlabeledImage'), *views(method, geometry),
            ],
        )  # fmt: skip
        supervised = method == 'SemiSegmentor'
        source_ratio = [2] if supervised else [2, 2]
        evaluation = dict(
            batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(
                **common, data_prefix=dict(img_path='images/val', seg_map_path='annotations/val'),
                pipeline=[*load, dict(type='PackSegInputs')],
            ),
        )  # fmt: skip
        metric = dict(type='IoUMetric', iou_metrics=['mIoU'])
        return Config(
            dict(
                custom_imports=dict(imports=['mmseg_semi'], allow_failed_imports=False),
                default_scope='mmseg',
                model=dict(type=method, segmentor=segmentor or tiny_segmentor(), **model),
                train_dataloader=dict(
                    batch_size=sum(source_ratio),
                    num_workers=0,
                    sampler=dict(type='SemiSampler', batch_size=sum(source_ratio), source_ratio=source_ratio),
                    collate_fn=dict(type='semi_collate'),
                    dataset=dict(type='SemiDataset', labeled=labeled, unlabeled=None if supervised else unlabeled),
                ),
                val_dataloader=evaluation,
                test_dataloader=evaluation,
                test_pipeline=evaluation['dataset']['pipeline'],
                val_evaluator=metric,
                test_evaluator=metric,
                train_cfg=dict(type='SemiIterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters),
                val_cfg=dict(type='TeacherStudentValLoop'),
                test_cfg=dict(type='TestLoop'),
                optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
                param_scheduler=[dict(type='PolyLR', power=1.0, begin=0, end=max_iters, by_epoch=False)],
                default_hooks=dict(
                    timer=dict(type='IterTimerHook'),
                    logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False),
                    param_scheduler=dict(type='ParamSchedulerHook'),
                    checkpoint=dict(type='SafeCheckpointHook', by_epoch=False, interval=2),
                    sampler_seed=dict(type='DistSamplerSeedHook'),
                    visualization=dict(type='SegVisualizationHook'),
                ),
                custom_hooks=[
                    dict(type='IterSeedHook'),
                    dict(type='MeanTeacherHook', momentum=0.1),
                    dict(type='InvalidLossHook'),
                ],
                vis_backends=[dict(type='LocalVisBackend')],
                visualizer=dict(
                    type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name=tmp_path.name
                ),
                experiment_name=tmp_path.name,
                log_processor=dict(by_epoch=False),
                env_cfg=dict(dist_cfg=dict(backend='gloo')),
                randomness=dict(seed=0),
                tta_model=dict(type='SegTTAModel'),
                tta_pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(
                        type='TestTimeAug',
                        transforms=[
                            [dict(type='Resize', scale_factor=ratio, keep_ratio=True) for ratio in (0.5, 1.0)],
                            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
                            [dict(type='LoadAnnotations')],
                            [dict(type='PackSegInputs')],
                        ],
                    ),
                ],
                work_dir=str(tmp_path / 'work'),
            ),
            format_python_code=False,  # which takes longer than to train
        )

    return make


@pytest.fixture
def work_dir(tiny_config, tmp_path) -> Callable[..., Path]:
    """Write what a run leaves: ``work_dir('a_0', seed=0, teacher={2: 40.0, 4: 50.0})``, the student 1 below."""

    def write(name: str, seed: int, teacher: dict, method: str = 'SemiSegmentor', session: str = '1', **model) -> Path:
        cfg = tiny_config(method, max_iters=4, **model)
        cfg.randomness.seed = seed
        folder = tmp_path / name
        vis_data = folder / session / 'vis_data'
        vis_data.mkdir(parents=True)
        cfg.dump(vis_data / 'config.py')
        shutil.copy(vis_data / 'config.py', folder / f'{name.split("_")[0]}_net_data.py')
        lines = [dict(step=step, loss=1 / step, time=0.5) for step in range(min(teacher), max(teacher) + 1)]
        for step, value in teacher.items():
            lines.append({'step': step, 'mIoU': value, 'teacher/mIoU': value, 'student/mIoU': value - 1})
        lines.sort(key=lambda line: line['step'])
        (vis_data / 'scalars.json').write_text(''.join(json.dumps(line) + '\n' for line in lines))
        return folder

    return write


@pytest.fixture
def run_tool(monkeypatch, capfd) -> Callable:
    """Run a tool in this process: ``done = run_tool('dataset_converters/make_splits.py', folder, '--count', 3)``.

    ``done.returncode``, ``done.stdout`` and ``done.stderr`` are as a subprocess would give them.
    """

    def run(name: str, *args) -> SimpleNamespace:
        path = str(Path(__file__).parents[1] / 'tools' / name)
        monkeypatch.setattr(sys, 'argv', [path, *map(str, args)])
        monkeypatch.syspath_prepend(str(Path(path).parent))
        code, message = 0, ''
        try:
            with as_another_process():
                runpy.run_path(path, run_name='__main__')
        except SystemExit as error:
            code, message = (1, error.code) if isinstance(error.code, str) else (error.code or 0, '')
        captured = capfd.readouterr()
        return SimpleNamespace(returncode=code, stdout=captured.out, stderr=captured.err + message)

    return run
