import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CLASSES, DyingHook, binary, mask_classification
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from mmseg.apis import inference_model, init_model
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_semi.engine.pseudo_labels import find_unlabeled, segment


@pytest.fixture
def supervised(tiny_config, tmp_path):
    """A supervised config of this package that says what is unlabelled, as ours do."""
    DyingHook.dies_in, DyingHook.iterations = None, []
    cfg = tiny_config('SemiSegmentor')
    train = cfg.train_dataloader.dataset
    cfg.unlabeled = dict(
        type='UnlabeledDataset', data_root=train.labeled.data_root, data_prefix=dict(img_path='images/train'),
        ann_file='splits/unlabeled.txt',
    )  # fmt: skip
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='DyingHook')]
    path = tmp_path / 'mine.py'
    cfg.dump(path)
    return path


def plain(cfg):
    """Turn such a config into one of plain mmseg, without the package's own parts."""
    labeled = cfg.train_dataloader.dataset.labeled
    labeled.pipeline[1].reduce_zero_label = False
    sampler = dict(type='InfiniteSampler', shuffle=True)
    hooks = {key: cfg.default_hooks[key] for key in ('timer', 'logger', 'param_scheduler')}
    changes = dict(
        model=dict(cfg.model.segmentor, _delete_=True), val_cfg=dict(type='ValLoop'), custom_hooks=[],
        train_dataloader=dict(batch_size=2, num_workers=0, sampler=sampler, dataset=labeled, _delete_=True),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2, _delete_=True),
        default_hooks=dict(hooks, checkpoint=dict(type='CheckpointHook', by_epoch=False), _delete_=True),
    )  # fmt: skip
    cfg.merge_from_dict(changes)
    cfg.pop('unlabeled')
    return cfg


def save(model, path):
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)


def read(path):
    return np.asarray(Image.open(path))


def test_a_killed_run_goes_on_in_every_stage_and_repeats_none(run_tool, supervised, tmp_path, tiny_data):
    work_dir = tmp_path / 'out'
    arguments = ('self_training.py', supervised, '--work-dir', work_dir, '--threshold', 0.01)
    for stage in ('1_supervised', '3_self_training'):
        DyingHook.dies_in = stage
        with pytest.raises(KeyboardInterrupt):
            run_tool(*arguments)
    labels = sorted((work_dir / '2_pseudo_labels/annotations').iterdir())
    assert [path.stem for path in labels] == (tiny_data / 'splits/unlabeled.txt').read_text().split()
    labels[2].unlink()
    times = [path.stat().st_mtime_ns for path in labels if path.exists()]
    DyingHook.dies_in = None
    done = run_tool(*arguments)
    assert done.returncode == 0, done.stderr
    assert '1 to do, 5 done before' in done.stdout
    assert '100.0% of all pixels have a pseudo label' in done.stdout
    assert [path.stat().st_mtime_ns for path in labels if path != labels[2]] == times
    # Checkpoints are written every other iteration, so that iteration 2 is trained on once more.
    expected = [(stage, i) for stage in ('1_supervised', '3_self_training') for i in (0, 1, 2, 2, 3)]
    assert expected == DyingHook.iterations
    assert (work_dir / '2_pseudo_labels/pseudo_labels.png').is_file()
    assert '1_supervised: trained before' in run_tool(*arguments).stdout
    assert expected == DyingHook.iterations

    cfg = Config.fromfile(work_dir / 'self_training.py')
    assert cfg.train_dataloader.batch_size == 4
    assert cfg.model == Config.fromfile(supervised).model
    last = [CheckpointLoader.load_checkpoint(str(work_dir / stage / 'iter_4.pth')) for stage in dict(expected)]
    assert last[0]['state_dict'].keys() == last[1]['state_dict'].keys()


def test_a_plain_mmseg_config_trains_on_as_many_labels_as_pseudo_labels(run_tool, supervised, tmp_path, tiny_data):
    path = tmp_path / 'plain.py'
    plain(Config.fromfile(supervised)).dump(path)
    done = run_tool('self_training.py', path, '--images', tiny_data / 'images/train', '--work-dir', tmp_path / 'out',
                    '--threshold', 0.01)  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = (tmp_path / 'out/2_pseudo_labels/images.txt').read_text().split()
    unlabeled = (tiny_data / 'splits/unlabeled.txt').read_text().split()
    assert names == [f'{name}.png' for name in unlabeled], 'labelled images are left out of the folder'
    dataset = Config.fromfile(tmp_path / 'out/self_training.py').train_dataloader.dataset
    assert dataset.type == 'ConcatDataset'
    assert dataset.datasets[0].times == 2
    assert (tmp_path / 'out/3_self_training/iter_2.pth').is_file()


@pytest.mark.parametrize('branch', ['teacher', 'student'])
def test_pseudo_labels_are_the_argmax_where_it_is_confident_and_255_elsewhere(
    run_tool, supervised, tmp_path, tiny_data, branch
):
    cfg = Config.fromfile(supervised)
    cfg.model.predict_on = branch
    model = init_model(cfg, device='cpu')
    torch.manual_seed(0)
    for network in (model.student, model.teacher):
        torch.nn.init.normal_(network.decode_head.conv_seg.weight)
    save(model, tmp_path / 'some.pth')
    images = sorted((tiny_data / 'images/val').iterdir())
    probs = [inference_model(model, str(image)).seg_logits.data.softmax(dim=0).numpy() for image in images]
    threshold = float(np.median([prob.max(axis=0) for prob in probs]))
    done = run_tool('write_pseudo_labels.py', supervised, tmp_path / 'some.pth', tmp_path / 'out', '--images',
                    tiny_data / 'images/val', '--threshold', threshold, '--predict-on', branch)  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = [read(tmp_path / f'out/annotations/{image.name}') for image in images]
    for label, prob in zip(written, probs, strict=True):
        assert (label == np.where(prob.max(axis=0) >= threshold, prob.argmax(axis=0), 255)).all()
    assert np.mean(np.equal(written, 255)) == pytest.approx(0.5, abs=0.01)


def test_one_channel_is_a_probability_of_which_both_ends_are_confident(tiny_data):
    cfg = Config(dict(model=binary(), test_pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]))
    model = init_model(cfg, device='cpu')
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    image = str(tiny_data / 'images/val/val_0000.png')
    model.decode_head.conv_seg.bias.data -= inference_model(model, image).seg_logits.data.logit().median()
    label, confidence = segment(model, 0.0)(image)
    prob = inference_model(model, image).seg_logits.data[0].numpy()
    assert set(np.unique(label)) == {0, 1}
    assert np.allclose(confidence, np.where(label == 1, prob, 1 - prob))


def test_scores_of_mask_classification_are_as_confident_as_their_share(tiny_data):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    model = init_model(Config(dict(model=mask_classification(), test_pipeline=pipeline)), device='cpu')
    torch.nn.init.normal_(model.decode_head.masks.weight)
    image = str(tiny_data / 'images/val/val_0000.png')
    _, confidence = segment(model, 0.0)(image)
    scores = inference_model(model, image).seg_logits.data
    assert np.allclose(confidence, (scores / scores.sum(dim=0)).amax(dim=0))
    assert confidence.max() > scores.softmax(dim=0).max()


def test_ids_that_a_dataset_maps_are_no_obstacle(run_tool, supervised, tmp_path):
    cfg = Config.fromfile(supervised)
    cfg.train_dataloader.dataset.labeled.metainfo = dict(classes=CLASSES[::-1])
    path = tmp_path / 'mapped.py'
    cfg.dump(path)
    done = run_tool('self_training.py', path, '--work-dir', tmp_path / 'out', '--threshold', 0.01)
    assert done.returncode == 0, done.stderr
    dataset = DATASETS.build(Config.fromfile(tmp_path / 'out/self_training.py').train_dataloader.dataset)
    assert dataset.parts['labeled'].metainfo['label_map']
    infos = [dataset.parts['pseudo_labeled'].get_data_info(0), dataset.parts['labeled'].get_data_info(0)]
    assert [bool(info['label_map']) for info in infos] == [False, True]


def test_pseudo_labels_are_written_of_the_images_that_a_config_trains_on(supervised, tiny_data):
    cfg = Config.fromfile(supervised)
    chosen = tiny_data / 'splits/labeled.txt'
    cfg.train_dataloader.dataset.unlabeled = dict(cfg.unlabeled, ann_file=str(chosen))
    assert [Path(name).stem for name in find_unlabeled(cfg)[1]] == chosen.read_text().split()


def test_a_threshold_that_no_pixel_reaches_ends_it(run_tool, supervised, tmp_path):
    done = run_tool('self_training.py', supervised, '--work-dir', tmp_path / 'out', '--threshold', 0.999)
    assert done.returncode == 1
    assert 'no pixel of 6 images has a pseudo label: take a lower --threshold' in done.stderr
    assert not (tmp_path / 'out/3_self_training').exists()


def test_a_list_may_leave_its_folder(supervised, tiny_data, tmp_path):
    for folder in 'ab':
        (tmp_path / folder).mkdir()
        shutil.copy(next((tiny_data / 'images/val').iterdir()), tmp_path / f'{folder}/x.png')
    (tmp_path / 'list.txt').write_text('x.png\n../b/x.png\n')
    found = find_unlabeled(Config.fromfile(supervised), str(tmp_path / 'a'), str(tmp_path / 'list.txt'))
    assert found == (str(tmp_path), ['a/x.png', 'b/x.png'])


def test_a_config_of_a_network_alone_asks_for_the_folder():
    with pytest.raises(ValueError, match='names no unlabelled images: give their folder'):
        find_unlabeled(Config(dict(model=dict(type='EncoderDecoder'))))


def test_pseudo_labels_that_were_made_otherwise_do_not_mix(run_tool, supervised, tmp_path, tiny_data):
    checkpoint = tmp_path / 'some.pth'
    save(init_model(Config.fromfile(supervised), device='cpu'), checkpoint)
    arguments = ('write_pseudo_labels.py', supervised, checkpoint, tmp_path / 'out', '--threshold')
    assert run_tool(*arguments, 0.1).returncode == 0
    done = run_tool(*arguments, 0.2)
    assert 'made with another threshold (made_with.json): remove the folder' in done.stderr
    shutil.copytree(tiny_data / 'images/train', tmp_path / 'others')
    assert 'made with another folder' in run_tool(*arguments, 0.1, '--images', tmp_path / 'others').stderr
    done = run_tool(*arguments, 0.1, '--cfg-options', 'model.predict_on=student')
    assert 'made with another model' in done.stderr
    assert run_tool(*arguments, 0.1).returncode == 0
    os.utime(checkpoint, ns=(1, 1))
    assert 'made with another checkpoint' in run_tool(*arguments, 0.1).stderr


def test_what_cannot_be_done_is_said_in_one_sentence(run_tool, supervised, tmp_path):
    cfg, empty, other = Config.fromfile(supervised), tmp_path / 'empty', tmp_path / 'other.pth'
    empty.mkdir()
    cfg.train_dataloader.dataset.unlabeled = cfg.unlabeled
    cfg.dump(tmp_path / 'semi.py')
    cfg.model.segmentor.decode_head.num_classes = 5
    save(init_model(cfg, device='cpu'), other)
    head = 'model.segmentor.decode_head.ignore_index'
    for arguments, message in [
        ((supervised, '--threshold', 0), 'threshold=0.0 is no confidence'),
        ((supervised, '--threshold', 1.5), 'threshold=1.5 is no confidence'),
        ((supervised, '--checkpoint', 'nowhere.pth'), 'there is no checkpoint nowhere.pth'),
        ((supervised, '--images', empty), 'there is no unlabelled image in'),
        ((supervised, '--images', tmp_path / 'gone'), 'folder of unlabelled images not found'),
        (
            (supervised, '--checkpoint', other),
            'does not fit the config: Error(s) in loading state_dict for EncoderDecoder: size mismatch for decode_head',
        ),
        ((supervised, '--cfg-options', 'randomness.seed=7'), 'was begun with other settings'),
        ((tmp_path / 'semi.py',), 'trains on unlabelled images already'),
        ((supervised, '--cfg-options', f'{head}=0'), 'decode_head.ignore_index=0, but pixels without a pseudo label'),
    ]:
        done = run_tool('self_training.py', *arguments, '--work-dir', tmp_path / 'out')
        assert done.returncode == 1, message
        assert message in done.stderr
    assert not (tmp_path / 'out/2_pseudo_labels').exists()
    assert not DyingHook.iterations
