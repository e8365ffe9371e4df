import os
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.datasets.transforms import RandomCrop
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_semi.datasets import (
    ClassUniform,
    ClassUniformCrop,
    PlacedSampleIndex,
    SampleIndex,
    SemiSampler,
    class_uniform,
    samplers,
)
from mmseg_semi.datasets.class_uniform import class_centroids


@pytest.fixture
def config(tiny_config, tmp_path):
    cfg = tiny_config(max_iters=2)
    cfg.train_dataloader.dataset.labeled.pipeline[3].type = 'ClassUniformCrop'
    cfg.train_dataloader.sampler.class_uniform = dict(share=0.5, tile=24, cache_dir=str(tmp_path / 'cache'))
    return cfg


@pytest.fixture
def dataset(config):
    init_default_scope('mmseg')
    return DATASETS.build(config.train_dataloader.dataset)


@pytest.fixture
def options(config):
    return config.train_dataloader.sampler.class_uniform


def take(sampler, count):
    return list(islice(iter(sampler), count))


def test_a_centroid_is_the_mean_place_of_a_class_in_a_tile():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 5, (50, 70))
    label[label == 3] = 255
    label[:20] = 0
    expected = []
    for top in (0, 32):
        for left in (0, 32, 64):
            tile = label[top : top + 32, left : left + 32]
            for c in range(4):
                if (tile == c).any():
                    y, x = np.nonzero(tile == c)
                    expected.append([c, top + int(y.mean()), left + int(x.mean())])
    assert class_centroids(label, 4, 32).tolist() == expected


def test_every_class_gets_its_turn_equally_often_at_places_where_it_is(dataset, options):
    sampler = ClassUniform(dataset, **options)
    rng, order = np.random.default_rng(0), np.arange(4)
    drawn = [pair for turn in range(400) for pair in sampler.draw(order, turn, rng)]
    places = [(index, place) for index, place in drawn if place is not None]
    assert len(places) == len(drawn) / 2
    classes = {(i, (y, x)): c for c, rows in enumerate(sampler.places) for i, y, x in rows.tolist()}
    counts = Counter(classes[pair] for pair in places)
    # Centroids of two classes may coincide, which shifts a few counts.
    assert len(counts) == len(sampler.places) == 8
    assert max(counts.values()) - min(counts.values()) <= 0.3 * len(places) / 8


def test_the_last_passes_are_plain_where_asked_for(dataset, options):
    sampler = SemiSampler(dataset, 4, [2, 2], seed=0, class_uniform=dict(options, passes=3))
    placed = [isinstance(index, PlacedSampleIndex) for index in take(sampler, 80) if index.index < 4]
    assert [sum(placed[start : start + 4]) for start in range(0, 24, 4)] == [2, 2, 2, 0, 0, 0]
    plain = take(SemiSampler(dataset, 4, [2, 2], seed=0), 80)
    assert take(sampler, 80)[24:] == plain[24:]


def test_skipping_and_ranks_see_the_same_stream(dataset, options, monkeypatch):
    whole = take(SemiSampler(dataset, 8, [4, 4], seed=3, class_uniform=options), 40)
    assert whole == take(SemiSampler(dataset, 8, [4, 4], seed=3, class_uniform=options), 40)
    sampler = SemiSampler(dataset, 8, [4, 4], seed=3, class_uniform=options)
    sampler.skip(16)
    assert take(sampler, 24) == whole[16:]
    shards = []
    for rank in range(2):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, 2))
        shards.append(take(SemiSampler(dataset, 4, [2, 2], seed=3, class_uniform=options), 20))
    joint = [shards[r][s + o + i] for s in range(0, 20, 4) for o in (0, 2) for r in (0, 1) for i in (0, 1)]
    assert joint == whole


def test_centroids_are_computed_once_until_a_file_changes(dataset, options, monkeypatch, tmp_path):
    calls = []
    compute = class_uniform._compute
    monkeypatch.setattr(class_uniform, '_compute', lambda *args: (calls.append(1), compute(*args)))
    first = ClassUniform(dataset, **options)
    again = ClassUniform(dataset, **options)
    assert len(calls) == 1
    assert all((a == b).all() for a, b in zip(first.places, again.places, strict=True))
    ClassUniform(dataset, **{**options, 'tile': 12})
    assert len(calls) == 2
    path = dataset.get_data_info(0)['seg_map_path']
    stat = os.stat(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
    ClassUniform(dataset, **options)
    assert len(calls) == 3
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert all(path.suffix == '.npy' and not path.name.startswith('.') for path in (tmp_path / 'cache').iterdir())


@pytest.mark.parametrize('place', [(0, 0), (99, 199), (50, 100)])
@pytest.mark.parametrize('scale', [0.5, 2.0])
def test_a_crop_holds_the_place_wherever_it_is_and_whatever_the_scale(place, scale):
    marked = np.zeros((100, 200), np.uint8)
    marked[place] = 1
    size = (int(100 * scale), int(200 * scale))
    rows, columns = (np.arange(n) * o // n for n, o in zip(size, (100, 200), strict=True))
    label = marked[rows][:, columns]
    if scale < 1:  # nearest neighbours drop pixels
        label[int(place[0] * scale), int(place[1] * scale)] = 1
    starts = set()
    for seed in range(20):
        np.random.seed(seed)
        results = dict(
            img=np.zeros((*size, 3), np.uint8), gt_seg_map=label, img_shape=size, ori_shape=(100, 200),
            seg_fields=['gt_seg_map'], class_place=place,
        )  # fmt: skip
        crop = ClassUniformCrop(crop_size=(30, 40)).transform(results)
        assert crop['img'].shape[:2] == crop['gt_seg_map'].shape == (30, 40)
        assert crop['gt_seg_map'].any()
        starts.add(tuple(np.argwhere(crop['gt_seg_map'])[0]))
    if place == (50, 100):
        assert len(starts) > 10


def test_without_a_place_it_crops_as_mmseg_does():
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    crops = []
    for kind in (RandomCrop, ClassUniformCrop):
        np.random.seed(1)
        crops.append(kind(crop_size=(30, 40)).transform(dict(img=image, img_shape=(60, 80), seg_fields=[]))['img'])
    assert (crops[0] == crops[1]).all()


def test_an_image_smaller_than_the_crop_is_taken_whole():
    results = dict(img=np.zeros((20, 80, 3)), img_shape=(20, 80), ori_shape=(20, 80), seg_fields=[], class_place=(9, 9))
    assert ClassUniformCrop(crop_size=(30, 40)).transform(results)['img'].shape == (20, 40, 3)


def test_a_crop_around_a_centroid_shows_its_class_more_often_and_the_same_each_time(dataset, options):
    def shows(index, c):
        return (dataset[index]['data_samples']['labeled'].gt_sem_seg.data == c).any().item()

    placed, plain = [], []
    for c, rows in enumerate(ClassUniform(dataset, **options).places):
        for seed, (image, y, x) in enumerate(rows.tolist()):
            placed.append(shows(PlacedSampleIndex(image, seed, (y, x)), c))
            plain.append(shows(SampleIndex(image, seed), c))
    assert np.mean(placed) > 0.97 > 0.95 > np.mean(plain)
    first, again = (dataset[PlacedSampleIndex(0, 5, (20, 20))]['inputs']['labeled'] for _ in range(2))
    assert first.shape[1:] == (32, 32)
    assert (first == again).all()


def test_a_broken_annotation_is_one_sentence(dataset, options, tmp_path):
    info = dict(dataset.get_data_info(0), seg_map_path=str(tmp_path / 'broken.png'))
    (tmp_path / 'broken.png').write_bytes(b'?')
    with pytest.raises(ValueError, match=r'unreadable annotation .*broken\.png'):
        class_uniform._read(info, 8, 24)


def test_a_missing_annotation_is_named_with_the_way_out(config, options):
    config.train_dataloader.dataset.labeled.data_prefix.seg_map_path = 'nowhere'
    dataset = DATASETS.build(config.train_dataloader.dataset)
    with pytest.raises(ValueError, match=r'annotation not found: .*nowhere/.*\.png\. Correct the list'):
        ClassUniform(dataset, **options)


@pytest.fixture
def with_coarse(config):
    """The same with the annotations of four more images as coarse ones, which are unlabelled images as well."""
    part = config.train_dataloader.dataset
    part.coarse = dict(part.labeled, ann_file='splits/unlabeled.txt', indices=[0, 1, 2, 3])
    init_default_scope('mmseg')
    return DATASETS.build(part)


def test_coarse_images_are_shown_as_labelled_ones_and_in_class_uniform_turns_alone(with_coarse, options):
    indices = take(SemiSampler(with_coarse, 4, [2, 2], seed=0, class_uniform=dict(options, passes=100)), 1600)
    plain, placed = ({i.index for i in indices if type(i) is kind} for kind in (SampleIndex, PlacedSampleIndex))
    assert plain == set(range(10))
    assert placed == {0, 1, 2, 3, 10, 11, 12, 13}
    assert not any(type(index) is PlacedSampleIndex for index in indices[800:])
    index = next(index for index in indices if index.index == 12)
    sample, info = with_coarse[index], with_coarse.get_data_info(12)
    assert list(sample['inputs']) == ['labeled']
    assert sample['data_samples']['labeled'].img_path == info['img_path'] == with_coarse.get_data_info(6)['img_path']
    assert 'gt_sem_seg' in sample['data_samples']['labeled']


def test_coarse_places_are_those_of_their_own_annotations(with_coarse, options):
    fine = ClassUniform(with_coarse, **options, coarse_classes=[])
    both = ClassUniform(with_coarse, **options)
    for c, (some, more) in enumerate(zip(fine.places, both.places, strict=True)):
        coarse = more[more[:, 0] >= 10]
        assert (more[more[:, 0] < 10] == some).all()
        for image in range(4):
            label = with_coarse[10 + image]['data_samples']['labeled'].img_path
            path = label.replace('images', 'annotations').replace('.jpg', '.png')
            expected = class_centroids(np.array(Image.open(path)), 8, 24)
            expected = expected[expected[:, 0] == c][:, 1:].tolist()
            assert coarse[coarse[:, 0] == 10 + image][:, 1:].tolist() == expected


def test_coarse_images_serve_the_classes_that_ask_for_them(with_coarse, options):
    name = with_coarse.metainfo['classes'][3]
    places = ClassUniform(with_coarse, **options, coarse_classes=[name]).places
    assert [bool((rows[:, 0] >= 10).any()) for rows in places] == [c == 3 for c in range(8)]


def test_coarse_images_that_would_be_ignored_are_refused(with_coarse, options):
    with pytest.raises(ValueError, match='set class_uniform'):
        SemiSampler(with_coarse, 4, [2, 2])
    with pytest.raises(ValueError, match=r"coarse_classes=\['trolley'\] are none of the classes"):
        SemiSampler(with_coarse, 4, [2, 2], class_uniform=dict(options, coarse_classes=['trolley']))
    with_coarse.parts['coarse'].pipeline = Compose([dict(type='RandomCrop', crop_size=(32, 32))])
    with pytest.raises(ValueError, match='in the coarse pipeline'):
        SemiSampler(with_coarse, 4, [2, 2], class_uniform=options)
    del with_coarse.parts['coarse']
    with pytest.raises(ValueError, match='needs a coarse part'):
        SemiSampler(with_coarse, 4, [2, 2], class_uniform=dict(options, coarse_classes=['road']))


def test_a_run_trains_on_coarse_images_and_looks_for_leaks_first(config, with_coarse):
    config.custom_hooks.append(dict(type='DatasetCheckHook'))
    Runner.from_cfg(config).train()
    pipeline = config.train_dataloader.dataset.labeled.pipeline
    config.train_dataloader.dataset.coarse = dict(config.val_dataloader.dataset, pipeline=pipeline)
    config.experiment_name = 'leak'
    with pytest.raises(ValueError, match='2 images are in the labelled and in the validation list'):
        Runner.from_cfg(config).train()


def test_a_run_trains_class_uniformly(config):
    config.val_dataloader = config.val_evaluator = config.val_cfg = None
    Runner.from_cfg(config).train()


def test_a_crop_that_inherits_class_uniform_crop_is_one(dataset, options):
    class OwnCrop(ClassUniformCrop):
        pass

    dataset.parts['labeled'].pipeline = Compose([OwnCrop(crop_size=(32, 32))])
    SemiSampler(dataset, 4, [2, 2], class_uniform=options)


def test_a_pipeline_that_crops_elsewhere_is_refused(dataset, options):
    dataset.parts['labeled'].pipeline = Compose([dict(type='RandomCrop', crop_size=(32, 32))])
    with pytest.raises(ValueError, match='needs ClassUniformCrop in place of RandomCrop'):
        SemiSampler(dataset, 4, [2, 2], class_uniform=options)


@pytest.mark.parametrize('wrong', [dict(share=0), dict(share=1.5), dict(tile=0), dict(passes=0)])
def test_arguments_out_of_range_are_named(dataset, options, wrong):
    with pytest.raises(ValueError, match=f'{next(iter(wrong))}={next(iter(wrong.values()))}'):
        SemiSampler(dataset, 4, [2, 2], class_uniform={**options, **wrong})


def test_class_uniform_sampling_without_shuffling_is_refused(dataset, options):
    with pytest.raises(ValueError, match='needs shuffle=True'):
        SemiSampler(dataset, 4, [2, 2], shuffle=False, class_uniform=options)
