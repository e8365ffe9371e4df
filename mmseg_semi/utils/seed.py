"""Randomness that is a function of where we are, not of what ran before."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*keys: int) -> int:
    """Hash non-negative integers into one seed of 32 bits, the same on every platform."""
    return int(np.random.SeedSequence(keys).generate_state(1)[0])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block with the CPU's global generators seeded, and leave them as they were."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
