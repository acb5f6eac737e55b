"""Dice, generalised Dice and focal loss: hand-written definitions, gradients, bad input."""

import pytest
import torch

from spinray.errors import DtypeError, InputError
from spinray.nn.losses import DiceLoss, FocalLoss, GeneralizedDiceLoss

ALL = [DiceLoss(), GeneralizedDiceLoss(), FocalLoss()]


def case(*shape, classes=3):
    generator = torch.Generator().manual_seed(2)
    scores = torch.randn(shape[0], classes, *shape[1:], dtype=torch.float64, generator=generator)
    return scores, torch.randint(max(classes, 2), shape, generator=generator)


def overlaps(scores, labels):
    """For each image and class: sum of p g, sum of p, sum of g, by loops."""
    probabilities = scores.sigmoid() if scores.shape[1] == 1 else scores.softmax(1)
    for image, truth in zip(probabilities, labels, strict=True):
        found = []
        for c, p in enumerate(image):
            g = (truth == (c if len(image) > 1 else 1)).double()
            found.append(torch.stack([(p * g).sum(), p.sum(), g.sum()]))
        yield torch.stack(found)


def dice(scores, labels, first=0):
    terms = []
    for table in overlaps(scores, labels):
        both, p, g = table[first:].T
        terms.append(1 - (2 * both + 1e-5) / (p + g + 1e-5))
    return torch.stack(terms).mean().item()


def generalized_dice(scores, labels, first=0):
    terms = []
    for table in overlaps(scores, labels):
        both, p, g = table[first:].T
        weight = 1 / g.square()
        weight[g == 0] = weight[g > 0].max()
        small = 1e-5 / labels[0].numel()
        terms.append(1 - (2 * (weight * both).sum() + small) / ((weight * (p + g)).sum() + small))
    return torch.stack(terms).mean().item()


SHAPES = [(2, 7, 6), (2, 4, 5, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("classes", [1, 2, 4])
def test_dice_is_its_definition(shape, classes):
    scores, labels = case(*shape, classes=classes)
    assert DiceLoss()(scores, labels).item() == pytest.approx(dice(scores, labels), rel=1e-10)
    assert GeneralizedDiceLoss()(scores, labels).item() == pytest.approx(generalized_dice(scores, labels), rel=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_background_can_be_left_out(shape):
    scores, labels = case(*shape)
    loss, general = DiceLoss(include_background=False), GeneralizedDiceLoss(include_background=False)
    assert loss(scores, labels).item() == pytest.approx(dice(scores, labels, 1), rel=1e-10)
    assert general(scores, labels).item() == pytest.approx(generalized_dice(scores, labels, 1), rel=1e-8)


@pytest.mark.parametrize("loss", ALL, ids=str)
def test_labels_with_and_without_a_channel_axis_are_the_same(loss):
    scores, labels = case(2, 7, 6)
    assert torch.equal(loss(scores, labels), loss(scores, labels[:, None]))


@pytest.mark.parametrize("loss", ALL, ids=str)
def test_a_sure_network_is_right_or_wrong(loss):
    _, labels = case(2, 7, 6, classes=2)
    truth = 200.0 * torch.nn.functional.one_hot(labels).movedim(-1, 1)
    assert loss(truth, labels).item() == pytest.approx(0, abs=1e-6)
    assert loss(truth.flip(1), labels).item() > 0.99


def test_generalised_dice_weighs_a_small_structure_like_a_large_one():
    labels = torch.zeros(1, 16, 16, dtype=torch.long)
    labels[0, :1, :2] = 1
    missed = torch.zeros(1, 2, 16, 16, dtype=torch.float64)
    missed[:, 0] = 50
    # Found 254 of 256 places: by volumes 1 - 2 254/512; the two missed ones carry nearly all of the weight.
    assert GeneralizedDiceLoss()(missed, labels).item() > 0.95
    assert DiceLoss()(missed, labels).item() == pytest.approx(0.5, abs=0.01)


def test_generalised_dice_does_not_fade_with_the_size_of_the_image():
    scores, labels = case(1, 4, 4)
    large = [x.repeat_interleave(64, -1).repeat_interleave(64, -2) for x in (scores, labels)]
    expected = GeneralizedDiceLoss()(scores, labels).item()
    assert GeneralizedDiceLoss()(*large).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("classes", [1, 3])
def test_focal_loss_without_focus_is_the_cross_entropy(classes):
    scores, labels = case(2, 4, 5, 3, classes=classes)
    if classes == 1:
        expected = torch.nn.functional.binary_cross_entropy_with_logits(scores[:, 0], labels.double())
    else:
        expected = torch.nn.functional.cross_entropy(scores, labels)
    assert FocalLoss(gamma=0)(scores, labels).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("gamma", [1.0, 2.0, 3.5])
def test_focal_loss_and_its_gradient_are_the_definition(gamma):
    scores, labels = case(2, 7, 6)
    ours, theirs = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    loss = FocalLoss(gamma=gamma)(ours, labels)
    p = theirs.softmax(1).gather(1, labels[:, None])
    expected = (-((1 - p) ** gamma) * p.log()).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("loss", [DiceLoss(), GeneralizedDiceLoss(), DiceLoss(include_background=False)], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 2, 3, 2)])
def test_overlaps_pass_gradcheck(loss, shape):
    scores, labels = case(*shape)
    assert torch.autograd.gradcheck(lambda scores: loss(scores, labels), scores.requires_grad_())


def test_an_absent_structure_is_learned_by_dice_not_by_generalised_dice():
    labels = torch.zeros(1, 6, 6, dtype=torch.long)
    for loss, learns in ((DiceLoss, True), (GeneralizedDiceLoss, False)):
        scores = torch.zeros(1, 2, 6, 6, requires_grad=True)
        loss(include_background=False)(scores, labels).backward()
        assert bool(scores.grad.any()) == learns


@pytest.mark.parametrize("loss", ALL, ids=str)
def test_bad_labels_are_refused(loss):
    scores, labels = case(2, 7, 6)
    with pytest.raises(DtypeError, match=r"target: expected a torch tensor of integer labels, got dtype torch.float32"):
        loss(scores, labels.float())
    with pytest.raises(InputError, match=r"target: expected labels of shape \(2, 7, 6\) or \(2, 1, 7, 6\)"):
        loss(scores, torch.zeros_like(scores).long())
    with pytest.raises(InputError, match="target: expected labels from 0 to 2, got 0 to 3"):
        loss(scores, labels + (labels == 2).long())
    with pytest.raises(DtypeError, match="input: expected a torch tensor of real floating-point"):
        loss(labels, labels)


def test_one_channel_has_no_background_to_leave_out():
    scores, labels = case(1, 4, 4, classes=1)
    with pytest.raises(InputError, match="include_background: expected True for an input of one channel"):
        DiceLoss(include_background=False)(scores, labels)


def test_a_focus_without_a_gradient_is_refused():
    for gamma in (0.5, -1.0):
        with pytest.raises(InputError, match="gamma: expected"):
            FocalLoss(gamma=gamma)
