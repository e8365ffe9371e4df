import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import _load_checkpoint_to_model

from mmseg_semi.models import MemoryBank, gather_rows


def rows(*numbers):
    """Make rows that show their number."""
    number = torch.tensor(numbers, dtype=torch.long)
    return number[:, None].float().expand(-1, 4) + 0.5, number


def content(bank):
    feature, label = bank.read()
    assert torch.equal(feature, rows(*label.tolist())[0])
    return sorted(label.tolist())


def test_it_starts_empty_and_holds_only_what_was_pushed_last():
    bank = MemoryBank(size=5, channels=4)
    assert len(bank) == 0
    assert [tuple(value.shape) for value in bank.read()] == [(0, 4), (0,)]
    for pushed, expected in (
        ((0, 1, 2), [0, 1, 2]),
        ((), [0, 1, 2]),
        ((3, 4, 5), [1, 2, 3, 4, 5]),
        ((6, 7), [3, 4, 5, 6, 7]),
        (range(8, 21), [16, 17, 18, 19, 20]),
        ((21,), [17, 18, 19, 20, 21]),
    ):
        bank.push(*rows(*pushed))
        assert content(bank) == expected
        assert len(bank) == len(expected)


def test_push_gives_the_rows_without_gradient_and_read_copies_that_stay():
    bank = MemoryBank(size=3, channels=4)
    feature, label = rows(1, 2, 3)
    given, given_label = bank.push(feature.clone().requires_grad_(), label.int())
    assert torch.equal(given, feature)
    assert torch.equal(given_label, label)
    assert not given.requires_grad
    before = bank.read()
    bank.push(*rows(4, 5, 6))
    assert torch.equal(before[0], feature)
    assert torch.equal(before[1], label)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_stored_as_float32(dtype):
    bank = MemoryBank(size=3, channels=4)
    feature = torch.randn(2, 4).to(dtype)
    given, _ = bank.push(feature, torch.tensor([1, 2]))
    assert given.dtype == bank.read()[0].dtype == torch.float32
    assert torch.equal(bank.read()[0], feature.float())


def test_it_goes_on_from_a_checkpoint_as_if_it_had_not_stopped():
    bank, resumed = MemoryBank(size=5, channels=4), MemoryBank(size=5, channels=4)
    bank.push(*rows(0, 1, 2, 3, 4, 5, 6))
    resumed.load_state_dict(bank.state_dict())
    for both in (bank, resumed):
        both.push(*rows(7, 8))
    assert content(resumed) == [4, 5, 6, 7, 8]
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in bank.state_dict().items())


def test_a_bank_of_another_size_is_not_resumed_in_part():
    bank = MemoryBank(size=6, channels=4)
    model = BaseModule()
    model.bank = MemoryBank(size=5, channels=4)
    checkpoint = dict(state_dict={f'bank.{name}': value for name, value in bank.state_dict().items()})
    with pytest.raises(RuntimeError, match=r'bank\.feature: \(6, 4\) in the checkpoint, \(5, 4\) in the model'):
        _load_checkpoint_to_model(model, checkpoint)


def test_sizes_and_rows_that_do_not_fit_are_refused():
    for options in (dict(size=0), dict(size=3, channels=0)):
        with pytest.raises(ValueError, match='must be positive'):
            MemoryBank(**options)
    for feature, label in ((torch.rand(2, 3), torch.zeros(2)), (torch.rand(2, 4), torch.zeros(3))):
        with pytest.raises(ValueError, match=r"'feature' must be \(n, 4\)"):
            MemoryBank(size=3, channels=4).push(feature, label.long())


def push_on_rank(rank, port, folder):
    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', world_size=2, rank=rank)
    bank = MemoryBank(size=4, channels=4)
    bank.push(*rows(10 * rank, 10 * rank + 1))
    gathered = bank.push(*(value[: 1 - rank] for value in rows(20)))
    places = gather_rows(torch.arange(rank + 1) + 10 * rank)
    torch.save((bank.state_dict(), gathered, places), folder / f'{rank}.pth')
    dist.destroy_process_group()


def test_two_ranks_hold_the_rows_of_both_also_where_their_numbers_differ(tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    # Forked, the processes need not import everything again.
    mp.start_processes(push_on_rank, (port, tmp_path), nprocs=2, start_method='fork')
    (first, gathered, places), (second, *_) = (torch.load(tmp_path / f'{rank}.pth') for rank in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert first['label'].tolist() == [20, 1, 10, 11]
    assert gathered[1].tolist() == [20]
    assert places[0].tolist() == [0, 10, 11]
