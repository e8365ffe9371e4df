import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmengine.runner import Runner
from mmseg.registry import TRANSFORMS
from PIL import Image


@pytest.fixture
def config(tiny_config, tiny_data, tmp_path):
    """A config on a dataset of its own, which a test may spoil, with the check in front."""
    root = shutil.copytree(tiny_data, tmp_path / 'scenes')
    cfg = tiny_config(max_iters=1)
    for part in (cfg.train_dataloader.dataset.labeled, cfg.train_dataloader.dataset.unlabeled):
        part.data_root = str(root)
    cfg.val_dataloader.dataset.data_root = str(root)
    cfg.custom_hooks = [dict(type='DatasetCheckHook'), *cfg.custom_hooks]
    return cfg, root


@TRANSFORMS.register_module()
class ShiftIds(BaseTransform):
    """A step that users write for their class ids."""

    def transform(self, results: dict) -> dict:
        return {**results, 'gt_seg_map': results['gt_seg_map'] + 1}


def refuses(cfg, message):
    """Training ends in the message before its first iteration."""
    with pytest.raises((ValueError, FileNotFoundError, RuntimeError), match=message):
        Runner.from_cfg(cfg).train()


def test_sound_input_trains(config):
    Runner.from_cfg(config[0]).train()


@pytest.mark.parametrize('which', [0, -1], ids=['first', 'last'])
@pytest.mark.parametrize(
    ('part', 'folder', 'what'),
    [('unlabeled', 'images', 'image'), ('labeled', 'images', 'image'), ('labeled', 'annotations', 'annotation')],
)
def test_a_truncated_file_is_named(config, part, folder, what, which):
    cfg, root = config
    name = (root / f'splits/{part}.txt').read_text().split()[which]
    file = root / f'{folder}/train/{name}.png'
    file.write_bytes(file.read_bytes()[:100])
    refuses(cfg, f'unreadable {what} .*{name}')


def test_annotations_of_unlabelled_images_are_never_opened(config):
    cfg, root = config
    for name in (root / 'splits/unlabeled.txt').read_text().split():
        annotation = root / f'annotations/train/{name}.png'
        annotation.unlink()
        annotation.mkdir()  # no user, root included, can open a folder as a file
    cfg.train_cfg.max_iters = 3
    Runner.from_cfg(cfg).train()


def test_annotations_of_unlabelled_images_that_are_read_are_checked(config):
    cfg, root = config
    part = cfg.train_dataloader.dataset
    part.unlabeled = dict(
        part.labeled, ann_file='splits/unlabeled.txt',
        pipeline=[dict(type='LoadUnlabeledImage', diagnose=True), *part.unlabeled.pipeline[1:]],
    )  # fmt: skip
    name = (root / 'splits/unlabeled.txt').read_text().split()[-1]
    Image.new('L', (48, 40), 77).save(root / f'annotations/train/{name}.png')
    refuses(cfg, rf'{name}\.png has the values \[77\]')


def test_a_missing_folder_is_named(config):
    cfg, _ = config
    cfg.train_dataloader.dataset.unlabeled.data_prefix.img_path = 'images/nowhere'
    refuses(cfg, 'folder of unlabelled images not found: .*nowhere')


def test_labels_of_one_class_are_refused_and_a_class_without_labels_is_named(config):
    cfg, root = config
    for path in (root / 'annotations/train').iterdir():
        label = np.asarray(Image.open(path))
        Image.fromarray(np.where(label == 0, 1, label).astype(np.uint8)).save(path)
    Runner.from_cfg(cfg).train()
    (log,) = Path(cfg.work_dir).glob('*/*.log')
    assert 'No labelled image shows sky: nobody teaches the network what that is' in log.read_text()
    for path in (root / 'annotations/train').iterdir():
        label = np.asarray(Image.open(path))
        Image.fromarray(np.where(label == 1, 255, 0).astype(np.uint8)).save(path)
    refuses(cfg, 'no annotation shows .*: ids go from 0 to 7 and 255 is ignored, so masks of 0 and 255 must be mapped')


def test_an_empty_split_is_refused(config):
    cfg, root = config
    (root / 'splits/unlabeled.txt').write_text('')
    refuses(cfg, 'the unlabeled part of SemiDataset has no image')


@pytest.mark.parametrize('kind', ['TexturedScenesDataset', 'PascalVOCDataset'])  # the second asserts without a word
@pytest.mark.parametrize('part', ['labeled', 'val'])
def test_a_list_that_is_missing_is_named_with_the_settings_that_lead_to_it(config, kind, part):
    cfg, _ = config
    dataset = cfg.train_dataloader.dataset.labeled if part == 'labeled' else cfg.val_dataloader.dataset
    dataset.update(type=kind, ann_file='splits/wrong.txt')
    named = 'the labeled part of SemiDataset' if part == 'labeled' else 'val_dataloader'
    refuses(cfg, f"{named} does not find its images: .*; check data_root=.*, ann_file='splits/wrong.txt'")


def test_an_image_in_the_labelled_and_the_validation_list_is_named(config):
    cfg, _ = config
    cfg.val_dataloader.dataset.data_prefix = cfg.train_dataloader.dataset.labeled.data_prefix
    refuses(cfg, 'in the labelled and in the validation list, such as .*train_0000.png')


def test_validation_images_among_the_unlabelled_ones_are_told_of(config):
    cfg, _ = config
    cfg.train_dataloader.dataset.unlabeled.update(ann_file='', data_prefix=dict(img_path='images'))
    Runner.from_cfg(cfg).train()
    (log,) = Path(cfg.work_dir).glob('*/*.log')
    count = len(list((Path(cfg.val_dataloader.dataset.data_root) / 'images/val').iterdir()))
    message = (
        rf'WARNING - {count} images of val_dataloader are in the unlabeled part, such as \S+images/val/\S+: results'
    )
    assert re.search(message, log.read_text())


def test_joined_validation_sets_are_checked_one_by_one(config):
    cfg, _ = config
    val, labeled = cfg.val_dataloader.dataset, cfg.train_dataloader.dataset.labeled
    leak = dict(val, ann_file=labeled.ann_file, data_prefix=labeled.data_prefix)
    cfg.val_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[val, dict(type='RepeatDataset', dataset=leak, times=1)]
    )
    refuses(cfg, 'images are in the labelled and in the validation list')


def test_an_unlabelled_pipeline_that_marks_all_of_its_pixels_as_filled_is_refused(config):
    cfg, _ = config
    cfg.train_dataloader.dataset.unlabeled.pipeline.insert(1, dict(type='ShiftIds'))
    refuses(cfg, r'no pixel of .* counts: a transform of the unlabelled pipeline changes the map of ones')


def test_a_validation_set_without_images_is_refused(config):
    cfg, root = config
    (root / 'empty.txt').touch()
    cfg.val_dataloader.dataset.ann_file = 'empty.txt'
    refuses(cfg, "val_dataloader has no image: check its data_root, data_prefix=.*, ann_file='.*empty.txt'")


def test_lines_of_comment_in_a_validation_list_are_named_with_the_way_out(config):
    cfg, root = config
    names = [path.stem for path in (root / 'images/val').iterdir()]
    (root / 'commented.txt').write_text('\n'.join(['# a list', *names]))
    cfg.val_dataloader.dataset.ann_file = 'commented.txt'
    refuses(cfg, 'commented.txt has lines of comment, for which .* would look for images: remove them')


@pytest.mark.parametrize('head', ['decode_head', 'auxiliary_head'])
def test_a_head_with_another_number_of_classes_is_refused(config, head):
    cfg, _ = config
    cfg.model.segmentor[head].num_classes = 5
    refuses(cfg, f'{head} has num_classes=5, but TexturedScenesDataset has 8 classes')


def test_heads_that_are_listed_are_checked_too(config):
    cfg, _ = config
    segmentor = cfg.model.segmentor
    segmentor.auxiliary_head = [segmentor.auxiliary_head, dict(segmentor.auxiliary_head, num_classes=5)]
    refuses(cfg, r'auxiliary_head\.1 has num_classes=5')


def test_a_head_that_tells_boundaries_from_the_rest_has_two_classes(config):
    cfg, _ = config
    segmentor = cfg.model.segmentor
    segmentor.auxiliary_head.update(type='STDCHead', num_classes=2, boundary_threshold=0.1)
    Runner.from_cfg(cfg).train()


def test_an_odd_number_of_unlabelled_images_a_batch_is_refused(config):
    cfg, _ = config
    cfg.train_dataloader.batch_size = cfg.train_dataloader.sampler.batch_size = 5
    cfg.train_dataloader.sampler.source_ratio = [2, 3]
    refuses(cfg, 'mixes pairs of unlabelled images, but a batch holds 3')


def test_a_batch_of_another_size_than_the_sampler_fills_is_refused(config):
    cfg, _ = config
    cfg.train_dataloader.batch_size *= 2
    refuses(cfg, r'train_dataloader.batch_size=8, but .* train_dataloader.sampler.batch_size=4: set both')


def test_a_method_without_unlabelled_images_is_refused(config):
    cfg, _ = config
    cfg.train_dataloader.dataset.pop('unlabeled')
    cfg.train_dataloader.sampler.source_ratio = [1]
    refuses(cfg, 'CutMixMeanTeacher learns from unlabelled images, but train_dataloader.dataset has none: add')


def test_a_model_that_no_method_wraps_is_refused(config):
    cfg, _ = config
    cfg.model = cfg.model.segmentor
    refuses(cfg, r'the model is EncoderDecoder: wrap it, model=dict\(type="SemiSegmentor", segmentor=')


def test_no_unlabelled_image_in_a_batch_is_refused(config):
    cfg, _ = config
    cfg.train_dataloader.batch_size = cfg.train_dataloader.sampler.batch_size = 2
    cfg.train_dataloader.sampler.source_ratio = [2, 0]
    refuses(cfg, r'source_ratio=\[2, 0\] needs one positive number for each')


def test_a_crop_larger_than_what_images_are_padded_to_is_refused(config):
    cfg, _ = config
    cfg.model.segmentor.data_preprocessor.size = (16, 16)
    refuses(cfg, r'makes labeled images of \(32, 32\), but the data preprocessor pads to size=\(16, 16\)')


@pytest.mark.parametrize('divisor', [None, 32])
def test_a_data_preprocessor_without_a_size_is_refused(config, divisor):
    cfg, _ = config
    cfg.model.segmentor.data_preprocessor.update(size=None, size_divisor=divisor)
    refuses(cfg, "the data preprocessor has no size .*: set the segmentor's data_preprocessor.size to the crop_size")


def test_labels_alone_may_be_padded_to_a_multiple(tiny_config):
    cfg = tiny_config('SemiSegmentor', max_iters=1)
    cfg.model.segmentor.data_preprocessor.update(size=None, size_divisor=32)
    cfg.custom_hooks = [dict(type='DatasetCheckHook'), *cfg.custom_hooks]
    Runner.from_cfg(cfg).train()


def test_a_view_that_turns_its_image_is_refused_even_where_it_seldom_does(config):
    cfg, _ = config
    cfg.train_dataloader.dataset.unlabeled.pipeline[-1].strong.append(dict(type='RandomRotate', prob=0.5, degree=30))
    refuses(cfg, "the pipeline of the view 'strong' moves pixels, .*: put geometry before MultiView")


def test_views_that_a_method_does_not_find_are_refused(config):
    cfg, _ = config
    multi_view = cfg.train_dataloader.dataset.unlabeled.pipeline[-1]
    multi_view.hard = multi_view.pop('strong')
    refuses(cfg, r"learns from the views \['weak', 'strong'\], but .* makes \['weak', 'hard'\]: name \['strong'\]")


def test_a_pipeline_that_does_not_say_what_to_mix_is_refused(config):
    cfg, _ = config
    pipeline = cfg.train_dataloader.dataset.unlabeled.pipeline
    pipeline[:] = [step for step in pipeline if step.type != 'RandomCutMixRegion']
    refuses(cfg, r"CutMixMeanTeacher mixes the views \['strong'\], but .* put a RandomCutMixRegion into them")


def test_a_method_on_a_plain_dataset_is_refused(config):
    cfg, _ = config
    loader = cfg.train_dataloader
    loader.dataset, loader.sampler = loader.dataset.labeled, dict(type='InfiniteSampler')
    loader.pop('collate_fn')
    refuses(cfg, 'CutMixMeanTeacher trains on a SemiDataset, but train_dataloader.dataset is a TexturedScenesDataset')


def test_samples_that_nobody_gathers_view_by_view_are_refused(config):
    cfg, _ = config
    cfg.train_dataloader.pop('collate_fn')
    refuses(cfg, 'set train_dataloader.collate_fn=dict')


def test_epochs_of_an_endless_stream_are_refused(config):
    cfg, _ = config
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
    refuses(cfg, 'the SemiSampler never ends, nor would an epoch of EpochBasedTrainLoop: .* max_iters')


def test_a_sampler_that_does_not_fill_batches_from_both_parts_is_refused(config):
    cfg, _ = config
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    refuses(cfg, 'a SemiDataset needs the SemiSampler, .* but train_dataloader has a InfiniteSampler')


@pytest.mark.parametrize(
    ('options', 'changed', 'message'),
    [
        (dict(stride=4), dict(), 'cannot be pooled to stride=4'),
        (dict(stride=12), dict(), 'a feature stride of 12 does not divide the crops'),
        (dict(), dict(crop_size=24), r'crops of \(24, 24\) pixels are padded to \(32, 32\)'),
        (dict(), dict(crop_size=30), 'stride=8 does not divide crop_size'),
        (dict(), dict(type='RandomCrop', crop_size=(32, 32), stride=None), 'put a PairedRandomCrop into it'),
    ],
)
def test_crops_that_features_cannot_follow_are_refused_before_labels_are_trained_on_alone(
    tiny_config, options, changed, message
):
    cfg = tiny_config('ContextAwareConsistency', max_iters=1, **{'stride': 8, 'unsup_start': 1, **options})
    cfg.custom_hooks = [dict(type='DatasetCheckHook'), *cfg.custom_hooks]
    (crop,) = (step for step in cfg.train_dataloader.dataset.unlabeled.pipeline if step.type == 'PairedRandomCrop')
    crop.update(changed)
    if crop.stride is None:
        crop.pop('stride')
        cfg.train_dataloader.dataset.unlabeled.pipeline[-1].update(crop1=[], crop2=[])
    refuses(cfg, message)
