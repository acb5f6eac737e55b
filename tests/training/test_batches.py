"""Batches formed of tensors: which samples they hold, wherever one begins, and among several processes."""

import pytest
import torch

from spinray.training import _batches
from spinray.training._batches import batches_of
from spinray.training._processes import Processes


def formed(count, size, processes=None, seed=3):
    data = ((torch.arange(count), torch.arange(count)[:, None, None] * torch.ones(2, 3)), torch.arange(count) / 2)
    return batches_of("data", data, size, seed, processes or Processes())


@pytest.mark.parametrize("gathered", [1, 1000, 1 << 20])  # one batch at a time, a few, all
def test_an_epoch_holds_every_sample_once(gathered, monkeypatch):
    monkeypatch.setattr(_batches, "_GATHERED", gathered)
    batches = formed(50, 8)
    seen = []
    for (numbers, images), halves in batches.batches(0, 0):
        assert torch.equal(images, numbers[:, None, None] * torch.ones(2, 3))
        assert torch.equal(halves, numbers / 2)
        seen.append(numbers)
    assert [len(numbers) for numbers in seen] == [8] * 6 + [2]
    assert torch.cat(seen).sort().values.tolist() == list(range(50))
    assert torch.cat(seen).tolist() != list(range(50))


@pytest.mark.parametrize("gathered", [1, 1000, 1 << 20])
def test_a_later_beginning_gives_the_same_batches_at_the_same_place_in_memory(gathered, monkeypatch):
    monkeypatch.setattr(_batches, "_GATHERED", gathered)
    batches = formed(50, 8)
    whole = list(batches.batches(1, 0))
    for first in range(len(whole) + 1):
        rest = list(batches.batches(1, first))
        assert len(rest) == len(whole) - first
        for ((numbers, images), halves), ((numbers_then, images_then), halves_then) in zip(
            rest, whole[first:], strict=True
        ):
            for now, then in ((numbers, numbers_then), (images, images_then), (halves, halves_then)):
                assert torch.equal(now, then)
                assert now.storage_offset() == then.storage_offset()


def test_processes_share_batches_and_leave_out_what_is_too_little_for_each():
    shares = [formed(17, 4, Processes(rank, 2)) for rank in range(2)]
    assert [share.n_batches for share in shares] == [4, 4]  # sample 17 would be one process's alone
    numbers = [[batch[0][0] for batch in share.batches(0, 0)] for share in shares]
    assert [[len(part) for part in parts] for parts in numbers] == [[2] * 4] * 2
    assert len(set(torch.cat([*numbers[0], *numbers[1]]).tolist())) == 16


def test_without_a_seed_samples_stay_in_order():
    assert [batch[1].tolist() for batch in formed(5, 2, seed=None).batches(4, 0)] == [[0, 0.5], [1, 1.5], [2]]


def test_batches_may_need_gradients_and_be_changed_in_place():
    x, gain = torch.ones(50, 3, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    for _ in range(2):
        for inputs, _ in batches_of("data", (x, torch.zeros(50)), 8, 3, Processes()).batches(0, 0):
            (inputs**2).sum().backward()  # each with a graph of its own
    assert x.grad.tolist() == [[4.0] * 3] * 50
    for inputs, _ in batches_of("data", (x.detach(), torch.zeros(50)), 8, 3, Processes()).batches(0, 0):
        inputs *= gain
        inputs.sum().backward()
    assert gain.grad == 150
    assert (x == 1).all()


def test_batches_keep_the_layout_of_channels_last():
    images = torch.randn(50, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    ((first, _), *_) = batches_of("data", (images, torch.zeros(50)), 8, None, Processes()).batches(0, 0)
    assert torch.equal(first, images[:8])
    assert first.stride() == images[:8].stride()
