from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmseg_semi.datasets import SemiSampler, samplers, semi_collate


def parts(*sizes):
    return SimpleNamespace(source_sizes=list(sizes))


def take(sampler, count):
    return list(islice(iter(sampler), count))


def test_every_batch_holds_its_share_of_each_part():
    drawn = [index for index, _ in take(SemiSampler(parts(3, 10), 6, [1, 2], seed=0), 60)]
    for start in range(0, 60, 6):
        batch = drawn[start : start + 6]
        assert [index < 3 for index in batch] == [True] * 2 + [False] * 4


def test_each_pass_shows_every_sample_once_in_a_new_order():
    drawn = [index for index, _ in take(SemiSampler(parts(4, 6), 2, [1, 1], seed=0), 24)]
    passes = [drawn[1::2][:6], drawn[1::2][6:]]
    assert all(sorted(p) == list(range(4, 10)) for p in passes)
    assert passes[0] != passes[1]


def test_seeds_decide_order_and_samples_never_share_theirs():
    first, again, other = (take(SemiSampler(parts(5, 9), 4, [1, 3], seed=seed), 80) for seed in (1, 1, 2))
    assert first == again != other
    assert len({seed for _, seed in first}) == 80


def test_two_ranks_share_out_the_stream_of_one(monkeypatch):
    whole = take(SemiSampler(parts(5, 9), 8, [4, 4], seed=3), 40)
    shards = []
    for rank in range(2):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, 2))
        shards.append(take(SemiSampler(parts(5, 9), 4, [2, 2], seed=3), 20))
    joint = []
    for start in range(0, 20, 4):
        joint += [*shards[0][start : start + 2], *shards[1][start : start + 2]]
        joint += [*shards[0][start + 2 : start + 4], *shards[1][start + 2 : start + 4]]
    assert joint == whole


def test_skip_is_absolute_and_equals_dropping():
    whole = take(SemiSampler(parts(3, 7), 4, [2, 2], seed=0), 100)
    sampler = SemiSampler(parts(3, 7), 4, [2, 2], seed=0)
    take(sampler, 13)
    sampler.skip(48)
    assert take(sampler, 52) == whole[48:]


def test_an_epoch_is_one_pass_over_the_unlabelled_part():
    assert len(SemiSampler(parts(3, 10), 6, [2, 4], seed=0)) == 3 * 6


@pytest.mark.parametrize(
    ('batch_size', 'ratio', 'message'),
    [(4, [4], 'one positive number for each of the 2 parts'), (4, [4, 0], 'positive'), (4, [1, 2], 'no multiple')],
)
def test_ratios_that_fit_neither_batch_nor_parts_are_refused(batch_size, ratio, message):
    with pytest.raises(ValueError, match=message):
        SemiSampler(parts(3, 7), batch_size, ratio)


def test_half_a_batch_cannot_be_skipped():
    with pytest.raises(ValueError, match='not whole batches'):
        SemiSampler(parts(3, 7), 4, [2, 2]).skip(3)


def test_samples_do_not_depend_on_workers_nor_touch_the_global_generators(tiny_config):
    from mmseg.registry import DATASETS

    dataset = DATASETS.build(tiny_config().train_dataloader.dataset)
    batches = []
    for workers in (0, 1, 2):
        sampler = SemiSampler(dataset, 4, [2, 2], seed=5)
        np.random.seed(workers)
        torch.manual_seed(workers)
        loader = DataLoader(dataset, 4, sampler=sampler, num_workers=workers, collate_fn=semi_collate)
        batches.append(list(islice(loader, 3)))
        if workers == 0:
            fresh = np.random.RandomState(0).random()
            assert np.random.random() == fresh
    for other in batches[1:]:
        for first, second in zip(batches[0], other, strict=True):
            for view, images in first['inputs'].items():
                assert all(torch.equal(a, b) for a, b in zip(images, second['inputs'][view], strict=True))
            regions = [[s.cutmix_region.data for s in batch['data_samples']['weak']] for batch in (first, second)]
            assert all(torch.equal(a, b) for a, b in zip(*regions, strict=True))
