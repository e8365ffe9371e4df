import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import tiny_segmentor
from mmengine.config import Config
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_semi.datasets.textured_scenes import CLASSES

ROOT = Path(__file__).parents[2]


def run(*args, ok=True):
    result = subprocess.run(
        [sys.executable, ROOT / 'tools/test.py', *map(str, args)], capture_output=True, text=True, check=False,
        cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
    )  # fmt: skip
    assert (result.returncode == 0) == ok, result.stdout[-2000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


@pytest.fixture
def trained(tiny_config, tmp_path):
    """A config whose teacher always predicts class 2 and whose student always predicts class 5, and its checkpoint."""
    cfg = tiny_config()
    model = MODELS.build(cfg.model)
    for network, label in ((model.teacher, 2), (model.student, 5)):
        network.decode_head.conv_seg.bias.data[label] = 1e4
    cfg.dump(tmp_path / 'config.py')
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'model.pth')
    return cfg, tmp_path / 'config.py', tmp_path / 'model.pth'


@pytest.mark.parametrize('branch', ['teacher', 'student'])
def test_label_maps_of_the_chosen_branch_are_written_under_the_names_of_the_images(
    trained, tmp_path, tiny_data, branch
):
    _, config, checkpoint = trained
    out, shown = tmp_path / 'out', tmp_path / 'shown'
    options = ['--predict-on', 'student', '--tta'] if branch == 'student' else []
    log = run(config, checkpoint, '--out', out, '--show-dir', shown, '--work-dir', tmp_path / 'work', *options)
    assert 'mIoU' in log
    names = sorted(path.name for path in (tiny_data / 'images/val').iterdir())
    for folder in (out, shown):
        assert sorted(path.name for path in folder.iterdir()) == names
    label = cv2.imread(str(out / names[0]), cv2.IMREAD_UNCHANGED)
    assert label.shape == (40, 48)
    assert (label == (2 if branch == 'teacher' else 5)).all()
    assert cv2.imread(str(shown / names[0])).shape[2] == 3


def test_predictions_never_take_the_place_of_images(trained, tmp_path, tiny_data):
    cfg, config, checkpoint = trained
    root = tmp_path / 'data'
    shutil.copytree(tiny_data / 'images/val', root / 'more')
    shutil.copytree(tiny_data / 'annotations/val', root / 'labels/more')
    for folder in ('images', 'labels/images'):
        (root / folder).mkdir()
    names = sorted(path.name for path in (root / 'more').iterdir())
    (root / 'list.txt').write_text(''.join(f'../more/{Path(name).stem}\n' for name in names))
    cfg.test_dataloader.dataset.update(
        data_root=str(root), data_prefix=dict(img_path='images', seg_map_path='labels/images'), ann_file='list.txt'
    )
    cfg.dump(config)
    before = {path: path.read_bytes() for path in (root / 'more').iterdir()}
    run(config, checkpoint, '--out', root / 'pred', '--work-dir', tmp_path / 'work')
    assert sorted(str(path.relative_to(root / 'pred')) for path in (root / 'pred').rglob('*.png')) == [
        f'more/{name}' for name in names
    ]
    log = run(config, checkpoint, '--out', root, '--work-dir', tmp_path / 'work', ok=False)
    assert f'{root} is where the image {root}' in log
    assert 'Iter(test)' not in log
    assert before == {path: path.read_bytes() for path in (root / 'more').iterdir()}


def test_a_test_leaves_the_config_of_the_training_alone(trained, tmp_path):
    cfg, config, checkpoint = trained
    kept = Path(cfg.work_dir) / config.name
    kept.parent.mkdir()
    kept.write_text('# as it was trained')
    run(config, checkpoint)
    assert kept.read_text() == '# as it was trained'
    assert (kept.parent / 'test' / config.name).is_file()


def test_images_of_one_name_in_two_folders_are_written_apart(trained, tmp_path, tiny_data):
    cfg, config, checkpoint = trained
    for kind in ('images', 'annotations'):
        for folder in 'ab':
            shutil.copytree(tiny_data / f'{kind}/val', tmp_path / f'nested/{kind}/{folder}')
    cfg.test_dataloader.dataset.update(
        data_root=str(tmp_path / 'nested'), data_prefix=dict(img_path='images', seg_map_path='annotations')
    )
    cfg.dump(config)
    run(config, checkpoint, '--out', tmp_path / 'out', '--work-dir', tmp_path / 'work')
    names = [path.name for path in (tiny_data / 'images/val').iterdir()]
    written = {str(path.relative_to(tmp_path / 'out')) for path in (tmp_path / 'out').rglob('*.png')}
    assert written == {f'{folder}/{name}' for folder in 'ab' for name in names}

    part = cfg.test_dataloader.dataset
    parts = [
        dict(part, data_prefix=dict(img_path=f'images/{folder}', seg_map_path=f'annotations/{folder}'))
        for folder in 'ab'
    ]
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=parts)
    cfg.dump(config)
    run(config, checkpoint, '--out', tmp_path / 'both', '--work-dir', tmp_path / 'work')
    assert written == {str(path.relative_to(tmp_path / 'both')) for path in (tmp_path / 'both').rglob('*.png')}


def test_a_supervised_config_is_tested_too_and_scales_and_tiles_are_averaged(trained, tmp_path):
    cfg, config, _ = trained
    cfg.model = cfg.model.segmentor
    cfg.model.test_cfg = dict(mode='slide', crop_size=(32, 32), stride=(16, 16))
    cfg.custom_hooks = []
    cfg.dump(config)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), tmp_path / 'plain.pth')
    assert 'mIoU' in run(config, tmp_path / 'plain.pth', '--tta')
    assert 'no teacher and student' in run(config, tmp_path / 'plain.pth', '--predict-on', 'teacher', ok=False)


def test_a_plain_config_refuses_a_checkpoint_of_student_and_teacher(trained):
    cfg, config, checkpoint = trained
    cfg.model = cfg.model.segmentor
    cfg.dump(config)
    assert 'holds student and teacher' in run(config, checkpoint, ok=False).splitlines()[-1]


def test_what_is_missing_is_named_in_one_sentence(trained):
    cfg, config, checkpoint = trained
    assert run(config, 'nowhere.pth', ok=False).splitlines()[-1] == 'there is no checkpoint nowhere.pth'
    cfg.pop('tta_pipeline')
    cfg.dump(config)
    assert '--tta: the config sets no tta_model and tta_pipeline' in run(config, checkpoint, '--tta', ok=False)


def test_a_submission_to_cityscapes_is_label_ids_of_the_test_images_under_names_its_server_takes(tiny_config, tmp_path):
    pytest.importorskip('cityscapesscripts')
    segmentor = tiny_segmentor()
    for head in ('decode_head', 'auxiliary_head'):
        segmentor[head]['num_classes'] = 19
    cfg = tiny_config(segmentor=segmentor, test_cfg=dict(mode='slide', crop_size=(32, 32), stride=(21, 21)))
    cityscapes = Config.fromfile(ROOT / 'configs/_base_/datasets/semi_cityscapes.py')
    cfg.test_dataloader.dataset = dict(cityscapes.test_dataloader.dataset, data_root=str(tmp_path))
    cfg.submission, cfg.tta_pipeline = cityscapes.submission, cityscapes.tta_pipeline
    model = MODELS.build(cfg.model)
    model.teacher.decode_head.conv_seg.bias.data[11] = 1e4
    cfg.dump(tmp_path / 'config.py')
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'model.pth')
    name = 'berlin_000000_000019_leftImg8bit.png'
    image = tmp_path / 'leftImg8bit/test/berlin' / name
    image.parent.mkdir(parents=True)
    cv2.imwrite(str(image), np.zeros((32, 64, 3), np.uint8))

    out, scale = tmp_path / 'out', 'tta_pipeline.1.scale=(64,32)'
    options = ['--tta', '--submission', '--out', out, '--work-dir', tmp_path / 'work', '--cfg-options', scale]
    run(tmp_path / 'config.py', tmp_path / 'model.pth', *options)
    assert [path.name for path in out.iterdir()] == [name]
    label = np.asarray(Image.open(out / name))  # a palette image, whose indices are the ids
    assert label.shape == (32, 64)
    assert (label == 24).all()  # a person


def test_a_submission_reads_images_alone_with_and_without_test_time_augmentation(tmp_path):
    cfg = Config.fromfile(ROOT / 'configs/_base_/datasets/semi_cityscapes.py')
    runpy.run_path(str(ROOT / 'tools/test.py'))['prepare_submission'](cfg, str(tmp_path))
    assert cfg.test_dataloader.dataset.data_prefix == dict(img_path='leftImg8bit/test')
    assert [step.type for step in cfg.test_dataloader.dataset.pipeline] == [
        'LoadImageFromFile', 'Resize', 'PackSegInputs',
    ]  # fmt: skip
    assert [options[0].type for options in cfg.tta_pipeline[-1].transforms] == [
        'Resize', 'RandomFlip', 'PackSegInputs',
    ]  # fmt: skip


def test_a_submission_needs_a_folder_and_a_config_that_knows_the_images(run_tool, trained, tmp_path):
    _, config, checkpoint = trained
    done = run_tool('test.py', config, checkpoint, '--submission')
    assert done.stderr.endswith('--submission: name the folder for the label maps with --out')
    done = run_tool('test.py', config, checkpoint, '--submission', '--out', tmp_path / 'out')
    assert '--submission: the config sets no submission' in done.stderr
    assert not (tmp_path / 'out').exists()


def test_slide_inference_and_test_time_augmentation_average_over_tiles_scales_and_flips(tiny_config):
    cfg = tiny_config(test_cfg=dict(mode='slide', crop_size=(32, 32), stride=(16, 16)))
    model = MODELS.build(dict(type='SegTTAModel', module=cfg.model)).eval()
    sizes = [(40, 48), (40, 48), (20, 24), (20, 24)]
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]
    samples = [
        SegDataSample(
            metainfo=dict(
                ori_shape=(40, 48), img_shape=size, img_path='a.png', flip=bool(i % 2), flip_direction='horizontal'
            )
        )
        for i, size in enumerate(sizes)
    ]
    with torch.no_grad():
        views = [
            model.module.test_step(dict(inputs=[x], data_samples=[s])) for x, s in zip(images, samples, strict=True)
        ]
        expected = np.mean([v[0].seg_logits.data.softmax(0).numpy() for v in views], axis=0).argmax(0)
        merged = model.test_step(dict(inputs=[[x] for x in images], data_samples=[[s] for s in samples]))
    assert expected.shape == (40, 48)
    assert (merged[0].pred_sem_seg.data.numpy() == expected).mean() > 0.99
    assert model.module.out_channels == len(CLASSES)
