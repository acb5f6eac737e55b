"""The few directions that the signals of a dictionary lie along: principal components, projections, norms.

Signals are rows. Coefficient r of a signal s in an orthonormal basis V (echoes, rank) is sum_e conj(V[e, r]) s[e], so
that inner products of signals in its span are those of their coefficients (McGivney et al. 2014).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.linalg

__all__ = ["captured", "fit", "norms", "pieces", "project", "spread"]

#: Atoms that a basis is made from: many times the rank of any dictionary that is worth compressing.
_SAMPLE = 4096
#: Numbers that are converted or copied at once.
_AT_ONCE = 1 << 19
#: Fractional part of the golden ratio: its multiples, modulo 1, are even and keep step with no grid.
_GOLDEN = 0.6180339887498949


def pieces(rows: int, width: int, at_once: int = _AT_ONCE) -> Iterator[slice]:
    """Yield slices over rows that hold about `at_once` numbers each.

    Examples
    --------
    >>> list(pieces(5, 10, at_once=20))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, at_once // max(1, width))
    return (slice(first, min(first + step, rows)) for first in range(0, rows, step))


def norms(table: np.ndarray) -> np.ndarray:
    """Return the norm of each row in double; NaN or infinite for those that are not finite.

    Summed in the precision of the table unless a sum may have left its range.
    """
    flat = _reals(table)
    limits = np.finfo(flat.dtype)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        squares = np.einsum("ij,ij->i", flat, flat).astype(np.float64)
        safe = (squares > limits.tiny * 1e8) & (squares < limits.max * 1e-8)
        result = np.sqrt(squares)
        odd = np.flatnonzero(~safe)
        for piece in pieces(len(odd), flat.shape[1]):
            wide = np.abs(flat[odd[piece]].astype(np.float64))
            largest = wide.max(axis=1, initial=0.0)
            scale = np.where((largest > 0) & (largest < np.inf), largest, 1.0)
            result[odd[piece]] = scale * np.sqrt(np.sum((wide / scale[:, None]) ** 2, axis=1))
    return result


def _reals(table: np.ndarray) -> np.ndarray:
    """View rows of complex numbers as rows of twice as many real ones."""
    return table.view(table.real.dtype) if table.dtype.kind == "c" else table


def project(table: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return the coefficients (n, rank) of rows (n, echoes)."""
    return table @ basis.conj()


def spread(n: int, sample: int = _SAMPLE) -> np.ndarray:
    """Return `sample` of the numbers below n in order, one from each of as many strata: the same ones every time.

    Examples
    --------
    >>> spread(3), spread(1000, sample=4)
    (array([0, 1, 2]), array([  0, 404, 559, 963]))
    """
    if n <= sample:
        return np.arange(n)
    strata = np.arange(sample)
    return ((strata + (strata * _GOLDEN) % 1.0) * (n / sample)).astype(np.int64)


def _gram(signals: np.ndarray) -> np.ndarray:
    """Return the sum over rows s of s[e] conj(s[f]) in double, shape (echoes, echoes)."""
    wide = np.complex128 if signals.dtype.kind == "c" else np.float64
    gram = np.zeros((signals.shape[1],) * 2, wide)
    for piece in pieces(*signals.shape):
        block = signals[piece].astype(wide)
        gram += block.T @ block.conj()
    return gram


def _leading(gram: np.ndarray, rank: int) -> np.ndarray:
    """Return the first principal directions (echoes, rank), orthonormal columns in double."""
    echoes = len(gram)
    vectors = scipy.linalg.eigh(gram, subset_by_index=[echoes - rank, echoes - 1], check_finite=False)[1][:, ::-1]
    # Which of the directions of a line is no matter of rounding.
    peaks = vectors[np.argmax(np.abs(vectors), axis=0), np.arange(rank)]
    return vectors * (peaks.conj() / np.abs(peaks))


def _rank_for(gram: np.ndarray, energy: float) -> int:
    """Return how many directions capture a share of the energy of the signals a Gram matrix was made of."""
    energies = np.maximum(scipy.linalg.eigvalsh(gram, check_finite=False)[::-1], 0.0)
    return min(int(np.searchsorted(np.cumsum(energies), energy * energies.sum())) + 1, len(energies))


def captured(coefficients: np.ndarray) -> np.ndarray:
    """Return the energy of each component, summed over atoms in double, shape (rank,)."""
    sums = np.zeros(coefficients.shape[1])
    for piece in pieces(*coefficients.shape):
        block = coefficients[piece]
        sums += np.sum(block.real.astype(np.float64) ** 2, axis=0)
        if block.dtype.kind == "c":
            sums += np.sum(block.imag.astype(np.float64) ** 2, axis=0)
    return sums


#: Coefficients of all atoms in a basis, and the energy of all signals.
Compressor = Callable[[np.ndarray], tuple[np.ndarray, float]]


def fit(
    compress: Compressor, sample: np.ndarray, dtype: np.dtype[Any], rank: int | None, energy: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Compress atoms onto the principal directions of a sample of them.

    Parameters
    ----------
    compress
        What computes coefficients of all atoms in a basis.
    sample
        Signals of some atoms.
    dtype
        Of the basis, real or complex.
    rank
        Number of directions; None for as many as `energy` takes.
    energy
        Share of the energy of all atoms to be captured.

    Returns
    -------
    basis, coefficients, energy
        The last is captured, over all atoms.
    """
    gram = _gram(sample)
    echoes = len(gram)
    wanted = 1.0 if energy is None else energy
    if rank is None:
        guess = _rank_for(gram, wanted)
        # The sample is not all: a few directions to spare save a second pass.
        tried = min(echoes, guess + max(4, guess // 4))
    else:
        tried = rank
    while True:
        basis = np.ascontiguousarray(_leading(gram, tried).astype(dtype))
        coefficients, total = compress(basis)
        shares = np.minimum(np.cumsum(captured(coefficients)) / total, 1.0)
        if rank is not None:
            return basis, coefficients, float(shares[-1])
        enough = int(np.searchsorted(shares, wanted)) + 1
        if enough <= tried or tried == echoes:
            kept = min(enough, tried)
            cut = (np.ascontiguousarray(part[:, :kept]) for part in (basis, coefficients))
            return next(cut), next(cut), float(shares[kept - 1])
        tried = min(echoes, 2 * tried)
