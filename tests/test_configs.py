import copy
import re
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import DATASETS, LOOPS, MODELS, TRANSFORMS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

import mmseg_semi  # noqa: F401

ROOT = Path(__file__).parents[1] / 'configs'
# Not those of users.
LEAVES = sorted(path for path in ROOT.glob('*/*.py') if (path.parent / 'metafile.yml').is_file())
TWINS = {path: path.parents[1] / 'supervised' for path in LEAVES if path.parent.name != 'supervised'}
NAME = re.compile(
    r'(?P<method>[a-z-]+)_(?P<model>[a-z0-9]+)_(?P<backbone>[a-z0-9-]+)_(?P<gpus>\d+)xb(?P<batch>\d+)-'
    r'(?P<schedule>\d+k?)_(?P<dataset>[a-z0-9]+)-(?P<split>[a-z0-9_]+)-(?P<crop>\d+x\d+)'
)
# Configs of Lai et al. 2021 for their own two datasets, by data, and what the paper says of them.
LAI = {
    'voc12aug': dict(gpus=2, lr=0.01, unlabeled={'1_16': 9921, '1_8': 9259, '1_4': 7936, '1464': 9118, 'full': 10582}),
    'cityscapes': dict(gpus=4, lr=0.1, unlabeled={'1_16': 2789, '1_8': 2603, '1_4': 2231, 'full': 2975}),
}
FEW_LABELS = {'92': 10490, '183': 10399, '366': 10216, '732': 9850}  # and the unlabelled images left
LAI_LEAVES = [
    (path, name)
    for path in LEAVES
    if path.parent.name == 'context_aware_consistency'
    for name in [NAME.fullmatch(path.stem)]
    if name['dataset'] in LAI
]


@cache
def parsed(path):
    return Config.fromfile(path)


def parse(path):
    return copy.deepcopy(parsed(path))


each_config = pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)


def build_network(cfg):
    segmentor = cfg.model.segmentor
    segmentor.pretrained = None
    segmentor.backbone.pop('init_cfg', None)
    with torch.device('meta'):
        return MODELS.build(cfg.model)


def parts(cfg):
    dataset = cfg.train_dataloader.dataset
    return {name: part for name, part in dataset.items() if isinstance(part, dict)}


def crops(cfg):
    steps = [step for part in parts(cfg).values() for step in part.pipeline]
    return {
        tuple(step.crop_size) for step in steps if step.type in ('RandomCrop', 'ClassUniformCrop', 'PairedRandomCrop')
    }


@each_config
def test_the_name_states_method_network_batch_schedule_data_and_crop(path):
    cfg, name = parse(path), NAME.fullmatch(path.stem)
    assert name, path.stem
    assert name['method'].startswith(path.parent.name.replace('_', '-'))
    assert cfg.train_dataloader.batch_size == cfg.train_dataloader.sampler.batch_size == int(name['batch'])
    assert int(name['batch']) % sum(cfg.train_dataloader.sampler.source_ratio) == 0
    assert len(cfg.train_dataloader.sampler.source_ratio) == len(parts(cfg))
    iters = cfg.train_cfg.max_iters
    assert name['schedule'] == (f'{round(iters / 1000)}k' if name['schedule'].endswith('k') else str(iters))
    crop = tuple(int(side) for side in name['crop'].split('x'))
    assert crops(cfg) == {crop}
    assert cfg.model.segmentor.data_preprocessor.size == crop
    splits = {part.ann_file for part in parts(cfg).values()}
    if name['split'] == 'trainval':
        assert splits - {''} == {'splits/trainval/labeled.txt'}
    elif name['split'] == 'full':
        assert splits == {'ImageSets/Segmentation/trainaug.txt' if name['dataset'] == 'voc12aug' else ''}
    else:
        assert all(f'/{name["split"]}/' in split or name['dataset'] == 'scenes' for split in splits)


@each_config
def test_the_model_builds_with_the_classes_of_the_data_and_teacher_and_student(path):
    cfg = parse(path)
    init_default_scope('mmseg')
    model = build_network(cfg)
    classes = DATASETS.get(cfg.test_dataloader.dataset.type).METAINFO['classes']
    heads = [model.student.decode_head]
    heads += [model.student.auxiliary_head] if model.student.with_auxiliary_head else []
    assert [head.num_classes for head in heads] == [len(classes)] * len(heads)
    method = NAME.fullmatch(path.stem)['method']
    assert model.predict_on == ('student' if method.endswith(('-student', '-student-val')) else 'teacher')


@each_config
def test_every_pipeline_hook_loop_and_schedule_builds(path):
    cfg = parse(path)
    init_default_scope('mmseg')
    pipelines = [part.pipeline for part in parts(cfg).values()]
    pipelines += [cfg.test_dataloader.dataset.pipeline, cfg.tta_pipeline]
    pipelines += [cfg.val_dataloader.dataset.pipeline] if cfg.val_dataloader else []
    for pipeline in pipelines:
        assert [TRANSFORMS.build(step) for step in pipeline]
    for part in parts(cfg).values():
        assert DATASETS.get(part.type)
    assert LOOPS.get(cfg.train_cfg.type)
    SegLocalVisualizer.get_instance('visualizer')
    runner = Runner.__new__(Runner)
    runner._hooks = []
    for hook in cfg.default_hooks.values():
        runner.register_hook(hook)
    assert all(
        scheduler.get('end', cfg.train_cfg.max_iters) == cfg.train_cfg.max_iters for scheduler in cfg.param_scheduler
    )


@pytest.mark.parametrize('path', TWINS, ids=lambda path: path.stem)
def test_its_supervised_twin_differs_in_nothing_but_the_unlabelled_images(path):
    cfg, name = parse(path), NAME.fullmatch(path.stem)
    ratio = cfg.train_dataloader.sampler.source_ratio
    count = int(name['batch']) * ratio[0] // sum(ratio)
    start, end = path.stem.index('_'), path.stem.index('xb')
    stem = f'supervised{path.stem[start:end]}xb{count}-{path.stem[path.stem.index("-", end) + 1 :]}'
    twin = parse(TWINS[path] / f'{stem}.py')
    assert twin.model.type == 'SemiSegmentor'
    assert twin.train_dataloader.dataset.get('unlabeled') is None
    labeled = [c.train_dataloader.dataset.labeled for c in (twin, cfg)]
    assert Path(labeled[0].pop('ann_file')).resolve() == Path(labeled[1].pop('ann_file')).resolve()
    assert labeled[0] == labeled[1]
    assert twin.model.segmentor == cfg.model.segmentor
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'val_dataloader', 'default_hooks', 'tta_pipeline'):
        assert twin[key] == cfg[key], key


@pytest.mark.parametrize(
    'path', [path for path in LEAVES if path.parent.name == 'supervised'], ids=lambda path: path.stem
)
def test_padding_costs_the_labels_no_weight(path):
    init_default_scope('mmseg')
    segmentor = parse(path).model.segmentor
    heads = [segmentor[name] for name in ('decode_head', 'auxiliary_head') if name in segmentor]
    for cfg in heads:
        if 'sampler' in cfg:
            cfg.sampler.min_kept = 20
        settings = {key: cfg[key] for key in ('num_classes', 'loss_decode', 'sampler', 'align_corners') if key in cfg}
        head = FCNHead(in_channels=4, channels=4, num_convs=0, concat_input=False, **settings)
        logits, label = torch.randn(1, cfg.num_classes, 8, 8), torch.randint(cfg.num_classes, (1, 8, 8))
        losses = []
        for pad in (0, 4):
            sample = SegDataSample(gt_sem_seg=PixelData(data=F.pad(label, (0, pad), value=255)))
            losses.append(head.loss_by_feat(F.pad(logits, (0, pad)), [sample])[head.loss_decode.loss_name])
        assert losses[0] > 0
        torch.testing.assert_close(*losses)


def test_test_time_augmentation_starts_from_the_scale_of_the_test_pipeline():
    for path in LEAVES:
        cfg = parse(path)
        first = [step for step in cfg.tta_pipeline if step.type == 'Resize']
        assert first == [step for step in cfg.test_dataloader.dataset.pipeline if step.type == 'Resize'], path.stem


@pytest.mark.parametrize('labeled', [372, 744, 2975, 3475, 661, 1323, 2646])
def test_long_schedules_are_175_epochs_of_the_labelled_set_on_8_gpus(labeled):
    stated = re.compile(rf'max_iters=(\d+)\)  # {labeled} labelled images')
    found = [stated.search(path.read_text()) for path in LEAVES]
    assert {int(match[1]) for match in found if match} == {-(-labeled * 175 // 8)}


@pytest.mark.parametrize(
    'path', [path for path in TWINS if re.search('voc12aug.*321|cityscapes.*801', path.stem) and '4xb6' in path.stem],
    ids=lambda path: path.stem,
)  # fmt: skip
def test_fixmatch_and_what_builds_on_it_have_the_numbers_of_the_unimatch_paper(path):
    cfg, cityscapes = parse(path), 'cityscapes' in path.stem
    assert cfg.model.consistency[0] == dict(type='PseudoLabelCrossEntropyLoss', threshold=0.0 if cityscapes else 0.95)
    ohem = dict(type='MeanOHEMPixelSampler', thresh=0.7, min_kept=100000)
    assert cfg.model.segmentor.decode_head.get('sampler') == (ohem if cityscapes else None)
    assert cfg.model.segmentor.decode_head.dropout_ratio == 0
    name = NAME.fullmatch(path.stem)
    images = {**FEW_LABELS, **LAI[name['dataset']]['unlabeled']}[name['split']]
    assert cfg.train_cfg.max_iters == (240 if cityscapes else 80) * -(-images // 8)
    labeled, unlabeled = parts(cfg).values()
    own_size = dict(scale=(2049, 1025) if cityscapes else (500, 500), ratio_range=(0.5, 2.0), keep_ratio=True)
    geometry = [dict(own_size, type='RandomResize'), dict(type='RandomCrop', crop_size=crops(cfg).pop())]
    geometry.append(dict(type='RandomFlip', prob=0.5))
    assert labeled.pipeline[2:-1] == unlabeled.pipeline[1:4] == geometry
    views = unlabeled.pipeline[-1]
    strong = [step for name, steps in views.items() if name.startswith('strong') for step in steps]
    assert [step for step in strong if step.type != 'RandomCutMixRegion'] == [dict(type='StrongPhotometric')] * (
        len(views) - 2
    )
    regions = [step for step in (*unlabeled.pipeline, *strong) if step.type == 'RandomCutMixRegion']
    assert len(regions) == len([name for name in views if name.startswith('strong')])
    for region in regions:
        assert (region.num_boxes, region.area, region.prob) == (1, (0.02, 0.4), 0.5)
        assert region.aspect_ratio == (0.3, 1 / 0.3)


def test_schedules_without_epochs_of_the_labelled_set_are_80_or_240_passes_over_the_unlabelled_one():
    stated = re.compile(r'max_iters=(\d+)\)  # (\d+) unlabelled images')
    checked = 0
    for path in LEAVES:
        match, gpus = stated.search(path.read_text()), NAME.fullmatch(path.stem)
        if match:
            step = int(gpus['gpus']) * int(gpus['batch'])
            passes = 240 if gpus['crop'] == '801x801' else 80
            assert int(match[1]) == passes * -(-int(match[2]) // step), path.stem
            checked += 1
    assert checked > 10


@pytest.mark.parametrize(
    ('row', 'changed'),
    [
        ('pixel', dict(consistency=[dict(type='PixelConsistencyLoss', loss_weight=20.0)])),
        ('student', dict(ema_teacher=False, predict_on='student')),
        ('student-targets', dict(ema_teacher=False)),
        ('student-val', dict(predict_on='student')),
    ],
)
def test_the_rows_of_tables_2_and_3_differ_from_the_full_method_in_their_switches_alone(row, changed):
    name = 'structured-consistency{}_deeplabv3plus_wrn38_8xb3-65k_cityscapes-full-896x896.py'
    full, other = (parse(ROOT / 'structured_consistency' / name.format(s)) for s in ('', f'-{row}'))
    full.model.update(changed)
    assert full.to_dict() == other.to_dict()


def test_context_aware_consistency_has_every_network_and_share_of_labels_of_its_paper():
    found = {(name['dataset'], name['split'], name['model'], name['backbone']) for _, name in LAI_LEAVES}
    for dataset in LAI:
        for split in ('1_16', '1_8', '1_4', 'full'):
            for network in (('deeplabv3plus', 'r50-d8'), ('deeplabv3plus', 'r101-d8'), ('pspnet', 'r50-d8')):
                assert (dataset, split, *network) in found
    assert {('voc12aug', '1464', 'deeplabv3plus', backbone) for backbone in ('vgg16', 'r50-d8')} <= found


@pytest.mark.parametrize(('path', 'name'), LAI_LEAVES, ids=lambda value: getattr(value, 'stem', ''))
def test_it_trains_as_in_its_paper(path, name):
    cfg, paper = parse(path), LAI[name['dataset']]
    assert int(name['gpus']) == paper['gpus']
    assert int(name['gpus']) * int(name['batch']) == 16
    ratio = cfg.train_dataloader.sampler.source_ratio
    assert ratio[0] == ratio[1]
    epoch = -(-paper['unlabeled'][name['split']] // 8)
    assert cfg.train_cfg.max_iters == 80 * epoch
    assert cfg.model.unsup_start == 5 * epoch
    labeled, unlabeled = (part.pipeline for part in parts(cfg).values())
    geometry = ['RandomResize', 'RandomCrop', 'RandomFlip']
    assert [step.type for step in labeled] == ['LoadImageFromFile', 'LoadAnnotations', *geometry, 'PackSegInputs']
    assert [step.type for step in unlabeled] == ['LoadUnlabeledImage', 'RandomResize', 'PairedRandomCrop', 'MultiView']
    own_size = (500, 500) if name['dataset'] == 'voc12aug' else (2048, 1024)
    assert all((step.scale, step.ratio_range) == (own_size, (0.5, 2.0)) for step in (labeled[2], unlabeled[1]))
    assert not [step for step in cfg.test_dataloader.dataset.pipeline if step.type == 'Resize']


@pytest.mark.parametrize('dataset', LAI)
def test_its_backbone_learns_ten_times_slower_than_all_the_rest(dataset):
    path = next(path for path, name in LAI_LEAVES if name['dataset'] == dataset)
    cfg = parse(path)
    init_default_scope('mmseg')
    model = build_network(cfg)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    lr = {id(p): group['lr'] for group in optimizer.param_groups for p in group['params']}
    rates = {(name.startswith('backbone.'), round(lr[id(p)], 6)) for name, p in model.named_parameters()}
    assert rates == {(True, LAI[dataset]['lr'] / 10), (False, LAI[dataset]['lr'])}
    assert any(name.startswith('projector.') for name, _ in model.named_parameters())


@pytest.mark.parametrize(
    ('row', 'contrast'),
    [
        ('distance', dict(_delete_=True, type='FeatureL2Loss', loss_weight=0.1)),
        ('undirected', dict(directional=False, negative_sampling=False, pos_threshold=0.0)),
        ('all-negatives', dict(negative_sampling=False, pos_threshold=0.0)),
        ('no-filtering', dict(pos_threshold=0.0)),
        ('both-ways', dict(directional=False)),
        ('no-context', None),
        ('no-projector', None),
    ],
)
def test_rows_one_to_seven_of_its_table_3_differ_in_their_switches_alone(row, contrast):
    name = 'context-aware-consistency{}_pspnet_r50-d8_2xb8-93k_voc12aug-1_8-320x320.py'
    full, other = (parse(ROOT / 'context_aware_consistency' / name.format(s)) for s in ('', f'-{row}'))
    if contrast is not None:
        full.merge_from_dict(dict(model=dict(contrast=contrast)))
    elif row == 'no-projector':
        full.model.projector = None
    else:
        full.train_dataloader.dataset.unlabeled.pipeline[2].iou_range = (1.0, 1.0)
    assert full.to_dict() == other.to_dict()
