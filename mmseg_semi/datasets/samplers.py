from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from mmseg_semi.utils.seed import derive_seed

from .class_uniform import ClassUniform


class SampleIndex(NamedTuple):
    """Which sample to load, and the seed of all that is random in it."""

    index: int
    seed: int


class PlacedSampleIndex(NamedTuple):
    """A :class:`SampleIndex`, and the place, (y, x) in pixels of the file, that a crop shall show."""

    index: int
    seed: int
    place: tuple[int, int]


@DATA_SAMPLERS.register_module()
class SemiSampler(Sampler):
    """Fill every batch with a fixed number of labelled, then of unlabelled samples, for ever.

    Each part is gone through in a new order on every pass. Order and seeds depend on ``seed`` and the position in the
    global stream alone, so that they are the same for any number of workers, and resuming costs no loading.

    Args:
        dataset (SemiDataset): Or any dataset with ``source_sizes``, the number of samples of each of its parts.
        batch_size (int): Samples in a batch on each rank, as given to the dataloader.
        source_ratio (Sequence[int]): Shares of the parts in a batch; ``[1, 1]`` and ``[4, 4]`` are the same to a
            ``batch_size`` of 8.
        shuffle (bool): Whether to draw a new order on every pass.
        seed (int, optional): Defaults to one drawn at random and shared by the ranks.
        class_uniform (dict, optional): Arguments of :class:`ClassUniform`, such as ``dict(share=0.5)``, to show a share
            of the labelled images, the first part, class by class; coarse images join there.

    Raises:
        ValueError: If ``source_ratio`` fits neither the batch size nor the parts of the dataset.
    """

    def __init__(
        self,
        dataset,
        batch_size: int,
        source_ratio: Sequence[int],
        shuffle: bool = True,
        seed: int | None = None,
        class_uniform: dict | None = None,
    ) -> None:
        self.sizes = dataset.source_sizes
        if len(source_ratio) != len(self.sizes) or min(source_ratio) < 1:
            raise ValueError(
                f'SemiSampler: source_ratio={list(source_ratio)} needs one positive number for each of the '
                f'{len(self.sizes)} parts of the dataset'
            )
        factor, rest = divmod(batch_size, sum(source_ratio))
        if rest or factor == 0:
            raise ValueError(
                f'SemiSampler: source_ratio={list(source_ratio)} adds up to {sum(source_ratio)}, of which '
                f'batch_size={batch_size} is no multiple'
            )
        self.counts = [factor * share for share in source_ratio]
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.rank, self.world_size = get_dist_info()
        self._first_batch = 0
        self.class_uniform = None
        if class_uniform is not None:
            if not shuffle:
                raise ValueError('SemiSampler: class_uniform draws at random, which needs shuffle=True')
            self.class_uniform = ClassUniform(dataset, **class_uniform)
        elif 'coarse' in getattr(dataset, 'parts', ()):
            raise ValueError('SemiSampler: coarse images are shown by class-uniform sampling alone: set class_uniform')

    def _pass(self, source: int, turn: int) -> list[tuple[int, tuple[int, int] | None]]:
        """Order the samples of one part for one pass: indices, and the places to be seen there, or None."""
        order = np.arange(self.sizes[source])
        if self.shuffle:
            rng = np.random.default_rng((self.seed, source, turn))
            order = rng.permutation(order)
            if source == 0 and self.class_uniform is not None:
                return self.class_uniform.draw(order, turn, rng)
        return [(index, None) for index in order.tolist()]

    def _stream(self, source: int, first: int) -> Iterator[SampleIndex | PlacedSampleIndex]:
        """Yield this rank's samples of one part, from its batch ``first`` on."""
        size, count = self.sizes[source], self.counts[source]
        offset = sum(self.sizes[:source])
        batch, turn, samples = first, -1, []
        while True:
            start = (batch * self.world_size + self.rank) * count
            for position in range(start, start + count):
                if position // size != turn:
                    turn = position // size
                    samples = self._pass(source, turn)
                index, place = samples[position % size]
                key = offset + index, derive_seed(self.seed, source, position)
                yield SampleIndex(*key) if place is None else PlacedSampleIndex(*key, place)
            batch += 1

    def __iter__(self) -> Iterator[SampleIndex | PlacedSampleIndex]:
        streams = [self._stream(source, self._first_batch) for source in range(len(self.sizes))]
        while True:
            for stream, count in zip(streams, self.counts, strict=True):
                for _ in range(count):
                    yield next(stream)

    def skip(self, num_samples: int) -> None:
        """Start behind the first ``num_samples`` samples of this rank, counted from the start of the stream.

        Raises:
            ValueError: If they are not a whole number of batches.
        """
        if num_samples % self.batch_size or num_samples < 0:
            raise ValueError(f'SemiSampler.skip: {num_samples} samples are not whole batches of {self.batch_size}')
        self._first_batch = num_samples // self.batch_size

    def __len__(self) -> int:
        """Samples of one epoch on this rank: one pass over the last part, the unlabelled one where there is one."""
        batches = -(-self.sizes[-1] // (self.counts[-1] * self.world_size))
        return batches * self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the stream is infinite and its order does not depend on the epoch."""
