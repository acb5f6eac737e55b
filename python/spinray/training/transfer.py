"""Parts of a network that are not trained."""

from __future__ import annotations

import difflib
import fnmatch

import torch
from torch.nn.modules.batchnorm import _NormBase

from ..errors import DtypeError, InputError

__all__ = ["freeze", "hold_frozen_statistics", "unfreeze"]


def freeze(network: torch.nn.Module, *patterns: str) -> list[str]:
    """Keep parameters as they are, by their names.

    `fit` also keeps the running statistics of batch normalisation in modules all of whose parameters are frozen.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place: ``requires_grad`` of the parameters.
    *patterns : str
        Names as in ``network.named_parameters()``, where ``*`` stands for anything: ``"encoder.*"``.

    Returns
    -------
    list of str
        The names of the parameters that match.

    Raises
    ------
    InputError
        If a pattern matches none, or there is no pattern.
    DtypeError
        If an argument has an unusable type.

    Examples
    --------
    >>> import torch
    >>> from spinray.training import freeze
    >>> freeze(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)), "0.*")
    ['0.weight', '0.bias']
    """
    return _set(network, patterns, False)


def unfreeze(network: torch.nn.Module, *patterns: str) -> list[str]:
    """Let parameters be trained again; all, with the pattern ``"*"``. As `freeze` otherwise.

    Examples
    --------
    >>> import torch
    >>> from spinray.training import freeze, unfreeze
    >>> network = torch.nn.Linear(2, 3)
    >>> freeze(network, "*"), unfreeze(network, "bias")
    (['weight', 'bias'], ['bias'])
    """
    return _set(network, patterns, True)


def _set(network: torch.nn.Module, patterns: tuple[str, ...], trained: bool) -> list[str]:
    if not isinstance(network, torch.nn.Module):
        raise DtypeError(f"network: expected a torch.nn.Module, got {type(network).__name__}")
    parameters = dict(network.named_parameters())
    if not patterns:
        raise InputError("patterns: expected at least one, got none. Give '*' for all parameters")
    matched: set[str] = set()
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise DtypeError(f"patterns: expected text, got {pattern!r}")
        names = fnmatch.filter(parameters, pattern)
        if not names:
            like = difflib.get_close_matches(pattern, parameters, n=3, cutoff=0.0)
            raise InputError(f"patterns: {pattern!r} matches no parameter. There are {', '.join(map(repr, like))}, ...")
        matched.update(names)
    for name in matched:
        parameters[name].requires_grad_(trained)
    return [name for name in parameters if name in matched]


def hold_frozen_statistics(network: torch.nn.Module) -> None:
    """Put batch normalisation into evaluation mode wherever all parameters of a module are frozen."""
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            for part in module.modules():
                if isinstance(part, _NormBase):
                    part.eval()
