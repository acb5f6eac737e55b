"""Losses of networks that are trained against each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ... import _checks
from ...errors import InputError

__all__ = ["CriticLoss", "CycleLoss", "GeneratorLoss", "GradientPenalty"]

_KINDS = ("hinge", "least_squares", "wasserstein")


class CriticLoss(nn.Module):
    """What a critic minimises: high scores for real images, low ones for fake ones.

    ========================  ============================================================
    ``hinge`` [1]_            mean of max(0, 1 - real) + mean of max(0, 1 + fake)
    ``least_squares`` [2]_    1/2 mean of (real - 1)^2 + 1/2 mean of fake^2
    ``wasserstein`` [3]_      mean of fake - mean of real; add a `GradientPenalty`
    ========================  ============================================================

    Parameters
    ----------
    kind : {"hinge", "least_squares", "wasserstein"}
        The loss; the generator's must be of the same kind.

    Raises
    ------
    InputError
        If there is no such kind.

    Notes
    -----
    ``loss(real, fake)`` takes the critic's raw scores, of any shape (one per image, or one per patch), for real images
    and for images made by the generator; detach the latter, ``fake = critic(generator(x).detach())``. Not by MONAI,
    whose hinge squeezes scores through tanh and whose least squares uses a leaky ReLU, other than published.

    References
    ----------
    .. [1] J. H. Lim, J. C. Ye (2017), Geometric GAN. arXiv:1705.02894.
    .. [2] X. Mao et al. (2017), Least squares generative adversarial networks. ICCV, 2813-2821, equation 9.
    .. [3] M. Arjovsky, S. Chintala, L. Bottou (2017), Wasserstein generative adversarial networks. ICML, PMLR
       70:214-223.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.losses import CriticLoss
    >>> CriticLoss("hinge")(torch.tensor([2.0, 0.5]), torch.tensor([-2.0, 0.0]))
    tensor(0.7500)
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = _checks.choice("kind", kind, _KINDS)

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return repr(self.kind)

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        if self.kind == "hinge":
            return (1 - real).relu().mean() + (1 + fake).relu().mean()
        if self.kind == "least_squares":
            return 0.5 * ((real - 1).square().mean() + fake.square().mean())
        return fake.mean() - real.mean()


class GeneratorLoss(nn.Module):
    """What a generator minimises: high scores of its critic for the images it makes.

    ========================  ==============================
    ``hinge`` [1]_            - mean of fake
    ``least_squares`` [2]_    1/2 mean of (fake - 1)^2
    ``wasserstein`` [3]_      - mean of fake
    ========================  ==============================

    Parameters
    ----------
    kind : {"hinge", "least_squares", "wasserstein"}
        The loss; the critic's must be of the same kind.

    Raises
    ------
    InputError
        If there is no such kind.

    Notes
    -----
    ``loss(fake)`` takes the critic's raw scores of the generator's images, not detached:
    ``fake = critic(generator(x))``.

    References
    ----------
    .. [1] J. H. Lim, J. C. Ye (2017), Geometric GAN. arXiv:1705.02894.
    .. [2] X. Mao et al. (2017), Least squares generative adversarial networks. ICCV, 2813-2821, equation 9.
    .. [3] M. Arjovsky, S. Chintala, L. Bottou (2017), Wasserstein generative adversarial networks. ICML, PMLR
       70:214-223.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.losses import GeneratorLoss
    >>> GeneratorLoss("least_squares")(torch.tensor([1.0, 0.0]))
    tensor(0.2500)
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = _checks.choice("kind", kind, _KINDS)

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return repr(self.kind)

    def forward(self, fake: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        return 0.5 * (fake - 1).square().mean() if self.kind == "least_squares" else -fake.mean()


class GradientPenalty(nn.Module):
    """Keeps a critic's slope near one: ``weight`` times the mean of (|gradient of its score| - 1)^2.

    The gradient is taken at images drawn evenly between each real and each fake one, of each image's mean score.

    Parameters
    ----------
    critic : torch.nn.Module
        The critic; without batch normalisation, which ties the scores of a batch to each other.
    weight : float
        Weight of the penalty, >= 0.

    Raises
    ------
    InputError
        If `weight` is negative or, in the call, the shapes differ.

    Notes
    -----
    ``penalty(real, fake)`` takes images, not scores, of one shape (batch, ...). Where between them the gradient is
    taken comes from torch's generator: ``torch.manual_seed`` decides.

    References
    ----------
    .. [1] I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville (2017), Improved training of Wasserstein GANs.
       NeurIPS 30:5767-5777, algorithm 1.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.losses import GradientPenalty
    >>> steep = lambda image: 3 * image.flatten(1)[:, :1]
    >>> GradientPenalty(steep)(torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4))
    tensor(40.)
    """

    def __init__(self, critic: nn.Module, *, weight: float = 10.0) -> None:
        super().__init__()
        self.critic = critic
        self.weight = _checks.positive("weight", weight, allow_zero=True)

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return f"weight={self.weight:g}"

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the penalty, a scalar >= 0."""
        if real.shape != fake.shape:
            raise InputError(f"fake: expected the shape of real, {tuple(real.shape)}, got {tuple(fake.shape)}")
        share = torch.rand(len(real), *(1,) * (real.ndim - 1), dtype=real.dtype, device=real.device)
        between = (share * real.detach() + (1 - share) * fake.detach()).requires_grad_()
        scores = self.critic(between).reshape(len(real), -1).mean(1)
        (slope,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        return self.weight * (torch.linalg.vector_norm(slope.flatten(1), dim=1) - 1).square().mean()


class CycleLoss(nn.Module):
    """How far images come back changed from the other domain: mean ``|back(there(x)) - x| + |there(back(y)) - y|``.

    Parameters
    ----------
    there, back : torch.nn.Module
        Networks from the domain of x to that of y, and back.

    Notes
    -----
    ``loss(x, y)`` takes unpaired batches of the two domains, in shapes the networks accept.

    References
    ----------
    .. [1] J.-Y. Zhu, T. Park, P. Isola, A. A. Efros (2017), Unpaired image-to-image translation using cycle-consistent
       adversarial networks. ICCV, 2242-2251, equation 2.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.losses import CycleLoss
    >>> loss = CycleLoss(lambda x: 2 * x, lambda y: y / 2 + 1)
    >>> loss(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
    tensor(3.)
    """

    def __init__(self, there: nn.Module, back: nn.Module) -> None:
        super().__init__()
        self.there, self.back = there, back

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss, a scalar in units of the images."""
        return nn.functional.l1_loss(self.back(self.there(x)), x) + nn.functional.l1_loss(self.there(self.back(y)), y)
