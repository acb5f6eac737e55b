"""Folds, frozen parameters, class weights."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Subset, TensorDataset

from spinray.training import class_weights, freeze, k_fold, unfreeze
from training.small import linear, mse, network, quick, regression


@pytest.mark.parametrize("k", [2, 3, 7, 10])
def test_every_sample_is_held_out_once(k):
    folds = k_fold(10, k)
    assert len(folds) == k
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(10))
    for train, held_out in folds:
        assert sorted([*train, *held_out]) == list(range(10))
        assert len(held_out) in (10 // k, -(-10 // k))


def test_folds_are_shuffled_by_the_seed():
    def parts(seed):
        return [held_out.tolist() for _, held_out in k_fold(40, 4, seed)]

    assert parts(1) == parts(1)
    assert parts(1) != parts(2)
    assert parts(1)[0] != list(range(10))


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list])
def test_with_labels_every_part_has_its_share_of_each_class(kind):
    labels = [2] * 31 + [0] * 9 + [1] * 5
    folds = k_fold(45, 4, labels=kind(labels))
    counts = np.array([np.bincount(np.array(labels)[held_out], minlength=3) for _, held_out in folds])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert np.ptp(counts.sum(1)) <= 1
    assert not all((np.diff(held_out) > 0).all() and held_out[0] == 0 for _, held_out in folds)


def test_folds_train_networks():
    x, y = regression()
    for train, held_out in k_fold((x, y), 3):
        assert quick(linear(), (x[train], y[train]), validation=(x[held_out], y[held_out])).n_epochs == 2
    data = TensorDataset(x, y)
    train, held_out = k_fold(data, 3)[0]
    assert quick(linear(), Subset(data, train), validation=Subset(data, held_out)).n_steps == 4


def test_freezing_and_unfreezing_go_by_names():
    one = network()
    assert freeze(one, "0.*", "*bias") == ["0.weight", "0.bias", "1.bias", "4.bias"]
    assert [name for name, p in one.named_parameters() if p.requires_grad] == ["1.weight", "4.weight"]
    assert unfreeze(one, "0.?ias") == ["0.bias"]
    assert unfreeze(one, "*") == [name for name, _ in one.named_parameters()]
    assert all(p.requires_grad for p in one.parameters())


def test_weights_make_classes_count_the_same():
    labels = torch.tensor([[0, 0, 0], [0, 2, 2]])
    weights = class_weights(labels, 4)
    assert torch.equal(weights, torch.tensor([6 / 16, 0.0, 6 / 8, 0.0]))
    totals = torch.zeros(4).index_add(0, labels.flatten(), weights[labels.flatten()])
    assert totals[0] == totals[2]
    balanced = nn.functional.cross_entropy(torch.zeros(6, 4), labels.flatten(), weight=weights)
    assert balanced == pytest.approx(np.log(4))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: k_fold(3, 4), ValueError, "k: expected at most one part for each of 3 samples, got 4"),
        (lambda: k_fold(3, 1), ValueError, "k: expected an integer >= 2, got 1"),
        (lambda: k_fold(2.5, 2), TypeError, "data: expected an integer, got 2.5"),
        (
            lambda: k_fold(4, 2, labels=[0, 1]),
            ValueError,
            r"labels: expected one for each of 4 .* shape \(2,\)",
        ),
        (lambda: k_fold((torch.ones(3), torch.ones(4)), 2), ValueError, r"data: expected tensors of as many samples"),
        (lambda: freeze(linear(), "encoder.*"), ValueError, "'encoder.*' matches no parameter. There are '"),
        (lambda: freeze(linear()), ValueError, "patterns: expected at least one, got none"),
        (lambda: freeze(linear(), 3), TypeError, "patterns: expected text, got 3"),
        (lambda: freeze(mse, "*"), TypeError, "network: expected a torch.nn.Module, got function"),
        (lambda: class_weights(torch.tensor([0, 3]), 3), ValueError, "labels: expected some, from 0 to 2, got 0 to 3"),
        (lambda: class_weights(torch.tensor([], dtype=torch.long), 3), ValueError, "labels: .* got none"),
        (
            lambda: class_weights(torch.ones(2), 2),
            TypeError,
            "labels: expected a tensor of integers, got torch",
        ),
        (lambda: class_weights([0, 1], 2), TypeError, "labels: expected a tensor of integers, got list"),
        (lambda: class_weights(torch.ones(2, dtype=torch.long), 0), ValueError, "classes: expected an integer >= 1"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()
