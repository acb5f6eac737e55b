"""Which part of its input a network's answer comes from: saliency, integrated gradients, Grad-CAM, occlusion.

Computed by captum (``pip install "spinray[explain]"``), which has many more methods, on networks in evaluation mode.
Each function takes a batch of images, and which output is to be explained: a class number for scores (batch, classes);
(channel, y, x) for images; None where the output is one number for each image.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .. import _checks
from ..errors import InputError
from ._modes import evaluating
from .losses._arguments import images

__all__ = ["grad_cam", "integrated_gradients", "occlusion", "saliency"]


def saliency(network: nn.Module, image: Tensor, target: Any = None) -> Tensor:
    """Return the absolute value of the gradient of the output by each voxel.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    image : torch.Tensor, shape (batch, channels, y, x) or (batch, channels, z, y, x)
        Its input.
    target : int or tuple of int, optional
        Which output, see above.

    Returns
    -------
    torch.Tensor, shape of `image`
        In units of the output per unit of the image.

    Raises
    ------
    InputError, DtypeError
        If `image` is no batch of images.
    ImportError
        Without captum.

    References
    ----------
    .. [1] K. Simonyan, A. Vedaldi, A. Zisserman (2014), Deep inside convolutional networks: visualising image
       classification models and saliency maps. ICLR workshop.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.explain import saliency
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 2))
    >>> saliency(network, torch.rand(1, 1, 8, 8), 1).shape  # doctest: +SKIP
    torch.Size([1, 1, 8, 8])
    """
    with evaluating(network):
        return _captum().Saliency(network).attribute(_input(image), target).detach()


def integrated_gradients(
    network: nn.Module, image: Tensor, target: Any = None, *, baseline: float | Tensor = 0.0, n_steps: int = 50
) -> Tensor:
    """Return what each voxel adds to the output, which changes from that of the baseline to that of the image.

    The contributions add up to that change (completeness), as far as `n_steps` go.

    Parameters
    ----------
    network, image, target
        As of `saliency`.
    baseline : float or torch.Tensor of the shape of `image`
        An image that says nothing: air, zero, the mean.
    n_steps : int
        Nodes of the quadrature between baseline and image.

    Returns
    -------
    torch.Tensor, shape of `image`
        In the output's unit.

    Raises
    ------
    InputError, DtypeError
        If `image` is no batch of images, or `n_steps` below 1.
    ImportError
        Without captum.

    References
    ----------
    .. [1] M. Sundararajan, A. Taly, Q. Yan (2017), Axiomatic attribution for deep networks. ICML, PMLR 70:3319-3328.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.explain import integrated_gradients
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 2))
    >>> integrated_gradients(network, torch.rand(1, 1, 8, 8), 1).shape  # doctest: +SKIP
    torch.Size([1, 1, 8, 8])
    """
    n_steps = _checks.integer("n_steps", n_steps, minimum=1)
    with evaluating(network):
        method = _captum().IntegratedGradients(network)
        return method.attribute(_input(image), baseline, target, n_steps=n_steps).to(image.dtype).detach()


def grad_cam(network: nn.Module, image: Tensor, layer: nn.Module, target: Any = None) -> Tensor:
    """Return where the features of a layer speak for the output, as large as the image.

    The features weighted by the mean of their gradients, added up, negative values set to zero, and interpolated to the
    size of the image.

    Parameters
    ----------
    network, image, target
        As of `saliency`.
    layer : torch.nn.Module
        A layer of the network with images as output, often the last convolution. It is hooked: networks of `spinray.nn`
        then run in PyTorch.

    Returns
    -------
    torch.Tensor, shape (batch, 1, y, x) or (batch, 1, z, y, x)
        >= 0.

    Raises
    ------
    InputError, DtypeError
        If `image` is no batch of images, or `layer` not of the network.
    ImportError
        Without captum.

    References
    ----------
    .. [1] R. R. Selvaraju et al. (2017), Grad-CAM: visual explanations from deep networks via gradient-based
       localization. ICCV, 618-626, equations 1 and 2.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.explain import grad_cam
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 2))
    >>> grad_cam(network, torch.rand(1, 1, 8, 8), network[0], 1).shape  # doctest: +SKIP
    torch.Size([1, 1, 8, 8])
    """
    if not any(layer is module for module in network.modules()):
        raise InputError(f"layer: expected a layer of the network, got {layer!r:.80}. See network.named_modules()")
    with evaluating(network):
        maps = _captum().LayerGradCam(network, layer).attribute(_input(image), target, relu_attributions=True)
    mode = "bilinear" if image.ndim == 4 else "trilinear"
    return nn.functional.interpolate(maps.detach(), image.shape[2:], mode=mode)


def occlusion(
    network: nn.Module,
    image: Tensor,
    target: Any = None,
    *,
    window: int,
    stride: int | None = None,
    baseline: float = 0.0,
) -> Tensor:
    """Return how far the output falls when a window over each voxel is occluded, on the average over windows.

    Needs no gradient, but a call of the network for each window.

    Parameters
    ----------
    network, image, target
        As of `saliency`.
    window : int
        Side of the window in voxels; it covers all channels.
    stride : int, optional
        Voxels from one window to the next, at most `window`; half a window unless given.
    baseline : float
        What the window is filled with.

    Returns
    -------
    torch.Tensor, shape of `image`
        In the output's unit.

    Raises
    ------
    InputError, DtypeError
        If `image` is no batch of images, or `window` or `stride` do not fit.
    ImportError
        Without captum.

    References
    ----------
    .. [1] M. D. Zeiler, R. Fergus (2014), Visualizing and understanding convolutional networks. ECCV, LNCS
       8689:818-833, section 4.2.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.explain import occlusion
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 2))
    >>> occlusion(network, torch.rand(1, 1, 8, 8), 1, window=4).shape  # doctest: +SKIP
    torch.Size([1, 1, 8, 8])
    """
    given = _input(image).detach()
    window = _checks.integer("window", window, minimum=1)
    if window > min(given.shape[2:]):
        raise InputError(f"window: expected at most the image's size {tuple(given.shape[2:])}, got {window}")
    stride = max(window // 2, 1) if stride is None else _checks.integer("stride", stride, minimum=1)
    if stride > window:
        raise InputError(f"stride: expected at most the window {window}, which leaves no voxel out, got {stride}")
    axes = given.ndim - 2
    with evaluating(network), torch.no_grad():
        method = _captum().Occlusion(network)
        sides, steps = (given.shape[1], *[window] * axes), (given.shape[1], *[stride] * axes)
        # captum adds up in single precision.
        return method.attribute(given, sides, steps, baselines=baseline, target=target).to(image.dtype)


def _captum() -> Any:
    try:
        from captum import attr
    except ImportError as error:
        raise ImportError('explanations are computed by captum: pip install "spinray[explain]"') from error
    return attr


def _input(image: Any) -> Tensor:
    """Return a copy of the images that gradients can be taken by."""
    images("image", image)
    return image.detach().clone().requires_grad_()
