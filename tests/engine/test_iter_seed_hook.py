import random
from types import SimpleNamespace

import numpy as np
import torch

from mmseg_semi.engine import IterSeedHook
from mmseg_semi.engine.hooks import iter_seed_hook


def draw(monkeypatch, seed=0, rank=0, iteration=0):
    monkeypatch.setattr(iter_seed_hook, 'get_rank', lambda: rank)
    IterSeedHook().before_train_iter(SimpleNamespace(seed=seed, iter=iteration), 0)
    return random.random(), np.random.random(), torch.rand(1).item()


def test_every_generator_depends_on_seed_rank_and_iteration_alone(monkeypatch):
    first = draw(monkeypatch)
    others = [draw(monkeypatch, seed=1), draw(monkeypatch, rank=1), draw(monkeypatch, iteration=1)]
    assert draw(monkeypatch) == first
    for values in zip(first, *others, strict=True):
        assert len(set(values)) == 4
