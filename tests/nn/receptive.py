"""Which inputs an output depends on."""

import torch


def extents(network, x, place):
    """Rows (and columns ...) of `x` with a gradient of the output at index `place`: (first, last) along each axis."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x)[place].sum(), x)
    seen = (gradient != 0).flatten(0, 1).any(0).nonzero()
    return [(int(low), int(high)) for low, high in zip(seen.min(0).values, seen.max(0).values, strict=True)]
