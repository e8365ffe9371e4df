import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from mmseg_semi.datasets import LoadUnlabeledImage, PseudoLabeledDataset, SemiDataset


@pytest.fixture
def config(tiny_config, tiny_data, tmp_path):
    """A supervised config with pseudo labels of class 3 for the unlabelled scenes, in the suffix that they have not."""
    cfg = tiny_config('SemiSegmentor')
    for name in (tiny_data / 'splits/unlabeled.txt').read_text().split():
        Image.fromarray(np.full((40, 48), 3, np.uint8)).save(tmp_path / f'{name}.png')
    train = cfg.train_dataloader
    train.dataset.pseudo_labeled = dict(
        type='PseudoLabeledDataset',
        data_prefix=dict(img_path=str(tiny_data / 'images/train'), seg_map_path=str(tmp_path)),
        ann_file=str(tiny_data / 'splits/unlabeled.txt'),
        metainfo=dict(classes=cfg.val_dataloader.dataset.get('classes', ('a',) * 8)),
        pipeline=train.dataset.labeled.pipeline,
    )
    train.batch_size = train.sampler.batch_size = 4
    train.sampler.source_ratio = [1, 1]
    cfg.custom_hooks.append(dict(type='DatasetCheckHook'))
    return cfg


def test_pseudo_labels_share_batches_with_labels_and_are_learnt_alike(config):
    runner = Runner.from_cfg(config)
    batch = next(iter(runner.train_dataloader))
    assert list(batch['inputs']) == ['labeled']
    labels = torch.stack([sample.gt_sem_seg.data for sample in batch['data_samples']['labeled']])
    assert len(labels) == 4
    assert set(labels[2:].unique().tolist()) <= {3, 255}
    assert len(labels[:2].unique()) > 2
    data = runner.model.data_preprocessor(batch, training=True)
    student = runner.model.student
    runner.model.eval()
    expected = student.loss(data['inputs']['labeled'], data['data_samples']['labeled'])
    torch.testing.assert_close(runner.model.loss(**data), expected)


def test_a_third_part_goes_between_labelled_and_unlabelled_images(config, tiny_data):
    dataset = config.train_dataloader.dataset
    unlabeled = dict(type='UnlabeledDataset', data_prefix=dict(img_path=str(tiny_data / 'images/val')))
    built = SemiDataset(dataset.labeled, Config(unlabeled)._cfg_dict, pseudo_labeled=dataset.pseudo_labeled)
    assert built.source_sizes == [4, 6, 2]
    assert [built.locate(i)[0] for i in (3, 4, 9, 10)] == ['labeled', 'pseudo_labeled', 'pseudo_labeled', 'unlabeled']


def test_a_missing_pseudo_label_is_named_before_training(config, tmp_path):
    gone = sorted(tmp_path.glob('train_*.png'))[2]
    gone.unlink()
    with pytest.raises(ValueError, match=f'annotation not found: {gone}'):
        Runner.from_cfg(config).train()


def test_images_that_would_share_a_pseudo_label_and_a_missing_folder_of_them_are_refused(tmp_path):
    for name in ('a.jpg', 'a.png'):
        (tmp_path / name).touch()
    prefix = dict(img_path=str(tmp_path), seg_map_path='labels')
    with pytest.raises(ValueError, match=r'a\.jpg and .*a\.png would have one pseudo label'):
        PseudoLabeledDataset(data_prefix=prefix)
    with pytest.raises(ValueError, match='has no seg_map_path'):
        PseudoLabeledDataset(data_prefix=dict(img_path=str(tmp_path)))


def test_an_annotation_is_not_both_true_and_a_pseudo_label():
    with pytest.raises(ValueError, match='a true label to diagnose with or a pseudo label'):
        LoadUnlabeledImage(diagnose=True, pseudo_label=True)
