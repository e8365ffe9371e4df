import json
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import DyingHook, as_another_process, tiny_segmentor
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_semi.datasets.textured_scenes import CLASSES
from mmseg_semi.models import UnlabeledViews
from mmseg_semi.models.features import classifier, features_before_classifier

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / 'projects/weak_image_labels'
SCENES = PROJECT / 'weak-image-labels_deeplabv3plus_r18-slim_1xb8-800_scenes-16-96x96.py'
VOC = PROJECT / 'weak-image-labels_deeplabv3plus_r50-d8_2xb8-91k_voc12aug-1464-320x320.py'


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    init_default_scope('mmseg')
    DyingHook.dies_in, DyingHook.iterations = None, []
    yield
    init_default_scope('mmseg')


@pytest.fixture
def run_module(monkeypatch, capfd):
    """Run a script of the project in this process, with the processes that it would start."""

    def run(name, *args):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
        try:
            runpy.run_module(f'projects.weak_image_labels.{name}', run_name='__main__')
        except SystemExit as error:
            return SimpleNamespace(returncode=1, stdout=capfd.readouterr().out, message=str(error))
        return SimpleNamespace(returncode=0, stdout=capfd.readouterr().out, message='')

    real = subprocess.run

    def start(command, **options):
        if command[:2] != [sys.executable, '-m']:
            return real(command, **options)
        with monkeypatch.context() as context:
            context.setattr(sys, 'argv', command[2:])
            with as_another_process():
                runpy.run_module(command[2], run_name='__main__')
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, 'run', start)
    return run


@pytest.fixture
def config(tiny_data, tmp_path):
    """The project's config for tiny scenes, and image-level labels for it."""
    cfg = Config.fromfile(SCENES)
    dataset = cfg.train_dataloader.dataset
    for part in (dataset.labeled, dataset.unlabeled, cfg.val_dataloader.dataset, cfg.unlabeled):
        part.data_root = str(tiny_data)
    classifier = Config.fromfile(cfg.weak_labels.classifier)
    for some in (cfg, classifier):
        some.train_cfg.max_iters = 4
        some.train_dataloader.update(num_workers=0, persistent_workers=False)
        some.default_hooks.checkpoint.interval = 2
        some.custom_hooks = [dict(type='DyingHook')]
    classifier.train_dataloader.batch_size = 2
    classifier.dump(tmp_path / 'classifier.py')
    cfg.train_cfg.val_interval = 4
    cfg.model.update(unsup_start=0, num_negatives=100, new_negatives=50)
    cfg.weak_labels.update(
        classifier=str(tmp_path / 'classifier.py'), image_labels=str(tmp_path / 'image_labels.txt'),
    )  # fmt: skip
    cfg.dump(tmp_path / 'tiny.py')
    return tmp_path / 'tiny.py'


@pytest.fixture
def labels(config, run_module, tiny_data):
    path = config.parent / 'image_labels.txt'
    done = run_module('annotations_to_image_labels', config, tiny_data / 'splits/train.txt', path)
    assert done.returncode == 0, done.message
    return path


def weak_views():
    """Two crops of two images with pseudo labels, some of which do not count, and one image without any."""
    torch.manual_seed(3)
    inputs, samples = {}, {}
    for name, flip in (('crop1', None), ('crop2', 'horizontal')):
        inputs[name] = torch.randn(2, 3, 32, 32, dtype=torch.float64)
        label = torch.randint(8, (2, 1, 32, 32), dtype=torch.uint8)
        label[label == 5] = 255
        samples[name] = [
            SegDataSample(
                metainfo=dict(
                    img_shape=(32, 32), crop_offset=(0, 0), overlap=(0, 0, 32, 32), flip_direction=flip,
                    iou_in_range=True,
                ),
                valid_map=PixelData(data=torch.zeros(1, 32, 32, dtype=torch.long)),
                pseudo_label=PixelData(data=label[image]),
            )
            for image in range(2)
        ]  # fmt: skip
    return UnlabeledViews.gather(inputs, samples)


def build(**options):
    import projects.weak_image_labels.weakly_labeled_consistency  # noqa: F401

    segmentor = tiny_segmentor()
    segmentor['decode_head']['dropout_ratio'] = 0
    torch.manual_seed(0)
    model = MODELS.build(dict(type='WeaklyLabeledConsistency', segmentor=segmentor, num_negatives=40, new_negatives=24,
                              **options))  # fmt: skip
    model.init_weights()
    return model.double().train()


def test_the_loss_is_equation_11_and_adds_to_that_of_context_as_in_equation_10():
    model, views = build(), weak_views()
    torch.manual_seed(5)
    losses = model.loss_unlabeled(views)
    terms = []
    feature = features_before_classifier(model.student, torch.cat([views.crop1.image, views.crop2.image]))
    for view, own in ((views.crop1, feature[:2]), (views.crop2, feature[2:])):
        weight, bias = model.weak_classifier.conv_seg.weight[:, :, 0, 0], model.weak_classifier.conv_seg.bias
        logits = torch.einsum('kc,bchw->bkhw', weight, own) + bias[:, None, None]
        prob = F.interpolate(logits, (32, 32), mode='bilinear', align_corners=False).softmax(dim=1)
        label = torch.cat([sample.pseudo_label.data for sample in view.data_samples]).long()
        picked = prob.gather(1, label.where(label != 255, 0)[:, None])[:, 0]
        terms.append(-picked.log()[label != 255].mean())
    torch.testing.assert_close(losses['loss_weak'], 0.4 * 0.5 * (terms[0] + terms[1]))

    torch.manual_seed(5)
    model.bank.written.zero_()
    context = model.loss_context(views, feature)
    torch.testing.assert_close(losses['loss_dc'], context['loss_dc'])
    assert sorted(name for name in losses if 'loss' in name) == ['loss_dc', 'loss_weak']


def test_coarse_labels_change_the_features_and_the_extra_classifier_but_not_the_main_one():
    model = build()
    model.loss_unlabeled(weak_views())['loss_weak'].backward()
    assert model.weak_classifier.conv_seg.weight.grad.any()
    assert model.student.backbone.stem[0].weight.grad.any()
    assert classifier(model.student).weight.grad is None


def test_views_without_pseudo_labels_are_refused():
    views = weak_views()
    del views.crop1.data_samples[0].pseudo_label
    for use in (build().loss_unlabeled, build().check_views):
        with pytest.raises(ValueError, match=r'use a PseudoLabeledDataset and LoadUnlabeledImage\(pseudo_label=True\)'):
            use(views)


def test_pseudo_labels_are_crops_and_flips_of_the_annotation(config, labels, tmp_path, tiny_data):
    cfg = Config.fromfile(config)
    cfg.train_dataloader.dataset.unlabeled.data_prefix.seg_map_path = str(tiny_data / 'annotations/train')
    from mmseg.registry import DATASETS

    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    sample = dataset[len(dataset.parts['labeled'])]['data_samples']
    for crop in sample.values():
        assert crop.pseudo_label.data.shape == crop.valid_map.data.shape
        shown = crop.pseudo_label.data[crop.valid_map.data == 0]
        assert set(shown.unique().tolist()) <= set(range(8))
        assert (crop.pseudo_label.data[crop.valid_map.data != 0] == 255).all()
    views = list(sample.values())
    top, left, bottom, right = views[0].overlap
    a = views[0].pseudo_label.data[0]
    b = views[1].pseudo_label.data[0]
    a, b = (x.flip(1) if view.get('flip') else x for x, view in ((a, views[0]), (b, views[1])))
    t, u, v, w = views[1].overlap
    assert torch.equal(a[top:bottom, left:right], b[t:v, u:w])


def test_maps_are_the_linear_layer_at_every_place_and_become_labels_of_the_image_s_classes(tmp_path):
    from mmpretrain import get_model

    from projects.weak_image_labels.class_activation_maps import class_activation_maps, localize

    cfg = Config.fromfile(PROJECT / 'classifier_r18-slim_1xb16-400_scenes-96x96.py')
    torch.manual_seed(0)
    model = get_model(cfg)
    torch.nn.init.normal_(model.head.fc.weight)
    image = torch.randn(1, 3, 32, 40)
    with torch.no_grad():
        features = [model.backbone(x)[-1] for x in (image, image.flip(3))]
        maps = [torch.einsum('kc,bchw->bkhw', model.head.fc.weight, f) for f in (features[0], features[1].flip(3))]
        total = sum(F.interpolate(m.relu(), (32, 40), mode='bilinear') for m in maps)[0]
    expected = total / total.flatten(1).max(dim=1).values[:, None, None].clamp(min=1e-5)
    torch.testing.assert_close(class_activation_maps(model, image), expected)

    path = str(tmp_path / 'a.png')
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 40, 3), dtype=np.uint8)).save(path)
    pixels = torch.from_numpy(np.asarray(Image.open(path))[..., ::-1].copy()).permute(2, 0, 1)
    shown = class_activation_maps(model, model.data_preprocessor(dict(inputs=[pixels]))['inputs'])
    classes = [1, 2, 3, 4, 5, 6, 7, 8]  # 0 is background
    label, score = localize(model, {path: [3, 6]}, classes, foreground=0.6, background=0.3, background_class=0)(path)
    best = torch.maximum(shown[2], shown[5]).numpy()
    expected = np.where(shown[2] >= shown[5], 3, 6)
    expected = np.where(best >= 0.6, expected, np.where(best < 0.3, 0, 255))
    assert np.array_equal(label, expected)
    assert np.allclose(score, best)
    assert set(np.unique(label)) >= {0, 255}
    with pytest.raises(ValueError, match=r'foreground=0\.1'):
        localize(model, {}, classes, foreground=0.1, background=0.5)


def test_three_stages_go_on_where_they_were_killed_and_export_nothing_of_the_extra_classifier(
    config, labels, run_module, run_tool, tmp_path
):
    work_dir = tmp_path / 'out'
    arguments = ('train', config, '--work-dir', work_dir)
    for stage in ('1_classifier', '3_segmentor'):
        DyingHook.dies_in = stage
        with pytest.raises(KeyboardInterrupt):
            run_module(*arguments)
    maps = sorted((work_dir / '2_pseudo_labels/annotations').iterdir())
    assert len(maps) == 6
    maps[1].unlink()
    DyingHook.dies_in = None
    done = run_module(*arguments)
    assert done.returncode == 0, done.message
    assert '1 to do, 5 done before' in done.stdout
    # Checkpoints are written every other iteration, so that iteration 2 is trained on once more.
    expected = [(stage, i) for stage in ('1_classifier', '3_segmentor') for i in (0, 1, 2, 2, 3)]
    assert expected == DyingHook.iterations
    assert run_module(*arguments).returncode == 0
    assert expected == DyingHook.iterations

    known = dict(line.split(maxsplit=1) for line in labels.read_text().splitlines() if not line.startswith('#'))
    for path in maps:
        ids = set(np.unique(np.asarray(Image.open(path)))) - {255}
        assert {CLASSES[i] for i in ids} <= set(known[path.stem].split())
    assert (work_dir / '2_pseudo_labels/pseudo_labels.png').is_file()
    content = json.loads((work_dir / '1_classifier/image_labels.json').read_text())
    assert content['metainfo']['classes'] == list(CLASSES)

    checkpoint = work_dir / '3_segmentor/iter_4.pth'
    assert any(
        key.startswith('weak_classifier.') for key in CheckpointLoader.load_checkpoint(str(checkpoint))['state_dict']
    )
    assert run_tool('model_converters/export_segmentor.py', checkpoint, tmp_path / 'plain.pth').returncode == 0
    plain = MODELS.build(Config.fromfile(config).model.segmentor)
    exported = CheckpointLoader.load_checkpoint(str(tmp_path / 'plain.pth'))['state_dict']
    assert exported.keys() == plain.state_dict().keys()


@pytest.mark.parametrize(('change', 'message'), [
    (lambda lines: [*lines, 'nowhere sky'], "the line 'nowhere sky' names no image of"),
    (lambda lines: [*lines, lines[-1]], 'has two lines for the image train_0009'),
    (lambda lines: [*lines[:-1], 'train_0009 sky dragon'], "has the class 'dragon', which is none of sky, land"),
    (lambda lines: [*lines[:-1], 'train_0009'], "the line 'train_0009' has no class of sky, land"),
    (lambda lines: lines[:-1], 'has no line for 1 of the unlabelled images, such as train_0009.png'),
    (lambda lines: [line.replace(' road', '') for line in lines], "the class 'road' is in no line"),
    (None, 'list of images not found'),
])  # fmt: skip
def test_labels_that_are_wrong_are_named_before_training(config, labels, run_module, tmp_path, change, message):
    if change is None:
        labels.unlink()
    else:
        labels.write_text('\n'.join(change(labels.read_text().splitlines())) + '\n')
    done = run_module('train', config, '--work-dir', tmp_path / 'out')
    assert message in done.message
    assert not (tmp_path / 'out').exists()


def test_maps_without_a_classifier_and_a_config_without_labels_are_refused(config, labels, run_module, tmp_path):
    done = run_module('train', config, '--work-dir', tmp_path / 'out', '--stage', 'pseudo_labels')
    assert 'there is no classifier in' in done.message
    cfg = Config.fromfile(config)
    cfg.weak_labels.background_class = 'nothing'
    cfg.dump(tmp_path / 'other.py')
    assert "background_class='nothing' is none of" in run_module('train', tmp_path / 'other.py').message
    cfg.pop('weak_labels')
    cfg.dump(tmp_path / 'other.py')
    assert 'has no weak_labels' in run_module('train', tmp_path / 'other.py').message


def test_the_voc_configs_build():
    cfg = Config.fromfile(VOC)
    import projects.weak_image_labels.weakly_labeled_consistency  # noqa: F401

    segmentor = cfg.model.segmentor
    segmentor.pretrained = None
    segmentor.backbone.pop('init_cfg', None)
    model = MODELS.build(cfg.model)
    assert model.weak_classifier.conv_seg.out_channels == 21
    assert cfg.param_scheduler[0].get('end', cfg.train_cfg.max_iters) == cfg.train_cfg.max_iters == 80 * -(-9118 // 8)
    assert cfg.unlabeled.ann_file == cfg.train_dataloader.dataset.unlabeled.ann_file
    classifier = Config.fromfile(cfg.weak_labels.classifier)
    assert classifier.param_scheduler[0].end == classifier.train_cfg.max_iters
