"""Features of past batches, as negatives of the present one.

Shape letters: n rows of one rank, N of all ranks, K in the bank, D channels.
"""

import torch
from mmengine.dist import all_gather, get_world_size
from torch import Tensor, nn


class MemoryBank(nn.Module):
    """The last features that were pushed, with their pseudo labels: the same on all ranks, and saved in checkpoints.

    Memory bank of `Semi-supervised Semantic Segmentation with Directional Context-aware Consistency
    <https://arxiv.org/abs/2106.14133>`_, section 3.3. It starts empty and gives only what was pushed.

    Features are kept in float32, also where autocast makes them float16 or bfloat16: losses compare them in float32,
    and a checkpoint then does not depend on the precision of the run that wrote it.

    Args:
        size (int): K at most.
        channels (int): D. Defaults to 128.

    Raises:
        ValueError: If one of them is below 1.

    Example:
        >>> bank = MemoryBank(size=1000, channels=128)
        >>> past, past_label = bank.read()
        >>> feature, label = bank.push(torch.randn(64, 128), torch.randint(19, (64,)))
        >>> negatives, negative_label = torch.cat([feature, past]), torch.cat([label, past_label])
    """

    def __init__(self, size: int, channels: int = 128) -> None:
        super().__init__()
        if size < 1 or channels < 1:
            raise ValueError(f'MemoryBank: size={size} and channels={channels} must be positive')
        self.register_buffer('feature', torch.zeros(size, channels, dtype=torch.float32))
        self.register_buffer('label', torch.zeros(size, dtype=torch.long))
        # How many rows were ever written tells both how many are there and where the next one goes.
        self.register_buffer('written', torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        return min(int(self.written), len(self.label))

    def read(self) -> tuple[Tensor, Tensor]:
        """Give all that is in the bank, in no particular order.

        Returns:
            tuple[Tensor, Tensor]: (K, D) features and (K,) int64 labels, copies that no later push changes.
        """
        rows = slice(len(self))
        return self.feature[rows].clone(), self.label[rows].clone()

    @torch.no_grad()
    def push(self, feature: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Write the rows of all ranks over the oldest ones. Every rank must call it.

        Args:
            feature (Tensor): (n, D), floating. n may differ between ranks.
            label (Tensor): (n,) integer.

        Returns:
            tuple[Tensor, Tensor]: (N, D) float32 features and (N,) int64 labels of all ranks, without gradient.

        Raises:
            ValueError: If a shape does not fit.
        """
        if feature.shape != (*label.shape, self.feature.shape[1]):
            raise ValueError(
                f"MemoryBank: 'feature' must be (n, {self.feature.shape[1]}) and 'label' (n,), but they are "
                f'{tuple(feature.shape)} and {tuple(label.shape)}'
            )
        feature, label = gather_rows(feature.to(self.feature), label.to(self.label))
        size, number = len(self.label), len(label)
        kept = min(number, size)
        place = (self.written + torch.arange(number - kept, number, device=label.device)) % size
        self.feature[place] = feature[number - kept :]
        self.label[place] = label[number - kept :]
        self.written += number
        return feature, label

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        """Refuse a bank of another size, of which mmengine would load the counter alone."""
        for name, own in self.named_buffers():
            given = state_dict.get(prefix + name, own)
            if given.shape != own.shape:
                raise RuntimeError(
                    f'{prefix}{name}: {tuple(given.shape)} in the checkpoint, {tuple(own.shape)} in the model. A '
                    'memory bank resumes with the size and the channels that it was saved with'
                )
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        """Describe the bank."""
        return f'size={self.feature.shape[0]}, channels={self.feature.shape[1]}'


@torch.no_grad()
def gather_rows(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Concatenate the rows of all ranks, rank after rank. Every rank must call it.

    Args:
        *tensors (Tensor): (n, ...) each. n may differ between ranks.

    Returns:
        tuple[Tensor, ...]: (N, ...) each, the same on all ranks, without gradient.
    """
    if get_world_size() == 1:
        return tuple(rows.detach() for rows in tensors)
    own = tensors[0].new_tensor(len(tensors[0]), dtype=torch.long)
    counts = torch.stack(all_gather(own)).tolist()
    gathered = []
    for rows in tensors:
        padded = rows.new_zeros(max(counts), *rows.shape[1:])  # ranks can only exchange tensors of one shape
        padded[: len(rows)] = rows
        parts = zip(all_gather(padded), counts, strict=True)
        gathered.append(torch.cat([part[:count] for part, count in parts]))
    return tuple(gathered)
