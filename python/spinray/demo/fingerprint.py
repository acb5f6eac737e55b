"""A brain by magnetic resonance fingerprinting: T1, T2 and proton density from one scan."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from .. import phantoms, viz
from ..mri import mrf
from .section import Picture, Section, Table

__all__ = ["fingerprint_brain"]

_PULSES, _TE, _TI = 600, 0.003, 0.02
_SHAPE, _SNR, _INTERLEAVES, _RANK = (160, 160), 25.0, 24, 12
_T1, _T2 = (0.1, 5.0, 230), (0.01, 2.5, 230)
#: Level and width of the maps, in s.
_WINDOWS = {"t1": (1.1, 2.2), "t2": (0.08, 0.16)}


def fingerprint_brain() -> Section:
    """Simulate a dictionary, scan a brain with it, and match every voxel."""
    flip_angles, tr = mrf.jiang2015(_PULSES)
    seq = mrf.Sequence.fisp(flip_angles, tr, _TE, inversion_time=_TI)
    begin = time.perf_counter()
    D = mrf.Dictionary.simulate(seq, np.geomspace(*_T1), np.geomspace(*_T2), rank=_RANK, progress=True)
    simulated = time.perf_counter()
    brain = phantoms.brain("shepp-logan", _SHAPE)
    series = mrf.add_noise(mrf.scan(brain, seq), _SNR, seed=1)
    scans = {"noise alone": series, f"a {_INTERLEAVES}th of k-space": mrf.undersample(series, _INTERLEAVES, seed=2)}
    found, seconds = {}, []
    for name, scan in scans.items():
        start = time.perf_counter()
        found[name] = D.match(scan, mask=brain.mask)
        seconds.append(time.perf_counter() - start)
    voxels = int(brain.mask.sum())
    head = ("scan", "T1 off by [%]", "T2 off by [%]", "correlation", "atoms compared [%]")
    table = Table(head, tuple((name, *_errors(m, brain)) for name, m in found.items()))
    section = Section("A brain by fingerprinting", tables=[table], pictures=[_picture(found, brain)])
    share = found["noise alone"].scored
    section.paragraphs = [
        f"{_PULSES} pulses of ever changing flip angle, {seq.duration:.1f} s in all, give every tissue an evolution of "
        f"its own. {D.n_atoms:,} pairs of T1 and T2 were simulated in {simulated - begin:.2f} s and kept as {_RANK} "
        f"coefficients each; {voxels:,} voxels of a Shepp-Logan head with tissues at 3 T were matched in "
        f"{seconds[0]:.2f} s.",
        f"An atom is ruled out unseen if the triangle inequality says that it cannot win: {share:.1%} of the atoms "
        "were compared with a voxel, and the winner is the one that a comparison with all would have found. "
        f"The noise is {1 / _SNR:.0%} of the signal. In the second scan every image takes another {_INTERLEAVES}th of "
        "k-space (a model of spirals): what is missing folds in like noise. Errors are medians over voxels.",
    ]
    return section


def _errors(m: Any, brain: Any) -> tuple[str, ...]:
    inside = brain.mask
    pairs = [(getattr(m, name)[inside], getattr(brain, name)[inside]) for name in ("t1", "t2")]
    off = [np.median(abs(got / true - 1)) for got, true in pairs]
    return (*(f"{100 * e:.1f}" for e in off), f"{np.median(m.correlation[inside]):.3f}", f"{100 * m.scored:.1f}")


def _picture(found: dict[str, Any], brain: Any) -> Picture:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 1 + len(found), figsize=(10.5, 6.8), layout="constrained")
    for row, (name, window) in zip(axes, _WINDOWS.items(), strict=True):
        maps = {"truth": getattr(brain, name) * brain.mask} | {scan: getattr(m, name) for scan, m in found.items()}
        for ax, (title, image) in zip(row, maps.items(), strict=True):
            viz.show(image, window=window, unit="s", cmap="viridis", title=f"{name.upper()}, {title}", ax=ax)
    return Picture("fingerprint", figure, "Relaxation times: truth, and what matching found in the two scans.")
