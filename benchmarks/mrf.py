"""MR fingerprinting beside its peers: simulating dictionaries, compressing them, matching voxels.

Peers of matching that take minutes for all voxels do a part of them; their seconds are scaled to all, which is exact
enough for a product that is linear in voxels.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from harness import best, child, extra_peak_memory, race, row, seconds
from peers import installed

N_PULSES = 1000
STATES = 20
RANK = 12
VOXELS = 65_536
TR, TE, TI = 0.012, 0.0, 0.02
GIB = 2.0**30


def flip_angles() -> np.ndarray:
    """Lobes of 10 to 60 degrees, rad."""
    return np.deg2rad(10 + 50 * abs(np.sin(np.pi * np.arange(N_PULSES) / 200)))


def sequence(spoiled: bool = False) -> Any:
    """A FISP fingerprint, or the same pulses with quadratic phase."""
    from spinray.mri import mrf

    train = mrf.Sequence.spgr if spoiled else mrf.Sequence.fisp
    return train(flip_angles(), TR, TE, inversion_time=TI)


def grid(n_t1: int, n_t2: int) -> dict[str, np.ndarray]:
    """Relaxation times of brain and fluid, s, geometric steps, single precision."""
    return {
        "t1": np.geomspace(0.1, 4.0, n_t1).astype(np.float32),
        "t2": np.geomspace(0.01, 1.0, n_t2).astype(np.float32),
    }


def atoms(n: int) -> tuple[np.ndarray, np.ndarray]:
    """T1 and T2 <= T1 of n atoms, s."""
    axes = grid(int(np.sqrt(n)), int(np.sqrt(n)))
    t1, t2 = (part.ravel() for part in np.meshgrid(axes["t1"], axes["t2"], indexing="ij"))
    return t1, np.minimum(t1, t2)


def _simulations(threads: int) -> Iterator[dict[str, Any]]:
    import torch

    import spinray
    from spinray.mri import mrf

    spinray.set_num_threads(threads)
    torch.set_num_threads(threads)
    t1, t2 = atoms(10_000)
    ms1, ms2 = torch.tensor(1e3 * t1), torch.tensor(1e3 * t2)
    degrees = torch.tensor(np.rad2deg(flip_angles()), dtype=torch.float32)
    spoiling = 117.0 * np.arange(N_PULSES) * (np.arange(N_PULSES) + 1) / 2 % 360
    phases = torch.tensor(spoiling, dtype=torch.float32)
    plain, spoiled = sequence(), sequence(spoiled=True)
    title = f"FISP dictionary, {N_PULSES} TR, {len(t1):,} atoms, {STATES} states"
    cases: list[tuple[str, str, Callable[[], Any], dict[str, Any], tuple[int, int]]] = []
    for peer in ("blochsim", "torchsim"):
        cases.append((title, peer, lambda: mrf.epg(plain, t1, t2, n_states=STATES), {}, (15, 40)))
    cases.append(
        (
            "the same, RF spoiled",
            "torchsim",
            lambda: mrf.epg(spoiled, t1, t2, n_states=STATES),
            {"phases": phases},
            (6, 15),
        )
    )
    names = ("t1", "t2")
    cases.append(
        (
            "the same, derivatives to T1 and T2",
            "torchsim",
            lambda: mrf.epg(plain, t1, t2, n_states=STATES, derivatives=names),
            {"diff": ("T1", "T2")},
            (8, 20),
        )
    )
    for workload, peer, ours, options, goals in cases:
        if not installed(peer):
            yield row(workload, peer, threads, best(ours, 3), None, *goals, accuracy="peer not installed")
            continue
        kept: list[Any] = [None]

        def theirs(peer: str = peer, options: dict[str, Any] = options, kept: list[Any] = kept) -> None:
            model = importlib.import_module(f"{peer}.simulators").MRFSimulator()
            train = {"flip": degrees, "TR": 1e3 * TR, "TI": 1e3 * TI, "states": STATES, "T1": ms1, "T2": ms2}
            if "diff" in options:
                kept[0] = model.jacobian(options["diff"], **train)
            else:
                kept[0] = model.simulate(**train, **options)

        ours_s, theirs_s = race(ours, theirs, runs=12, budget=16.0)
        mine, other = ours(), kept[0]
        signals = (mine[0], other[0]) if isinstance(mine, tuple) else (mine, other)
        apart = np.abs(np.abs(signals[0]) - np.abs(np.asarray(signals[1]))).max() / np.abs(signals[0]).max()
        yield row(workload, peer, threads, ours_s, theirs_s, *goals, accuracy=f"apart {apart:.1e}")


@functools.cache
def dictionary(rank: int | None) -> Any:
    """100,000 FISP atoms."""
    from spinray.mri import mrf

    return mrf.Dictionary.simulate(sequence(), **grid(345, 345), rank=rank, n_states=STATES)


@functools.cache
def voxels(n: int) -> np.ndarray:
    """Series (n, echoes) of relaxation times beside the grid, total SNR 10 to 50, complex64."""
    from spinray.mri import mrf

    rng = np.random.default_rng(0)
    t1 = np.exp(rng.uniform(np.log(0.2), np.log(3.5), n)).astype(np.float32)
    t2 = np.minimum(t1, np.exp(rng.uniform(np.log(0.015), np.log(0.8), n)).astype(np.float32))
    series = mrf.epg(sequence(), t1, t2, n_states=STATES)
    scale = rng.uniform(0.2, 2.0, n) * np.exp(2j * np.pi * rng.uniform(size=n))
    series *= scale[:, None].astype(np.complex64)
    snr = rng.uniform(10, 50, n)
    sigma = np.linalg.norm(series, axis=1) / snr / np.sqrt(2 * N_PULSES)
    for part in (series.real, series.imag):
        part += sigma[:, None].astype(np.float32) * rng.standard_normal(series.shape, dtype=np.float32)
    return series


def _unit(table: np.ndarray) -> np.ndarray:
    return table / np.linalg.norm(table, axis=1, keepdims=True)


def numpy_match(unit: np.ndarray, signals: np.ndarray, at_once: int = 256) -> np.ndarray:
    """Index of the atom with the largest |<a, y>|: products of real atoms with real and imaginary parts, in blocks."""
    found = np.empty(len(signals), np.int64)
    for first in range(0, len(signals), at_once):
        block = signals[first : first + at_once]
        if unit.dtype.kind == "c":
            found[first : first + at_once] = np.abs(block @ unit.conj().T).argmax(axis=1)
        else:
            square = (block.real @ unit.T) ** 2
            square += (block.imag @ unit.T) ** 2
            found[first : first + at_once] = square.argmax(axis=1)
    return found


def torch_match(unit: Any, signals: Any, at_once: int = 256) -> np.ndarray:
    """The same in torch."""
    import torch

    found = []
    for block in signals.split(at_once):
        square = (block.real @ unit.T).square_()
        square += (block.imag @ unit.T).square_()
        found.append(square.argmax(dim=1))
    return torch.cat(found).numpy()


def agreement(unit: np.ndarray, signals: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> str:
    """How many indices agree, and by how much the scores of ours fall short of theirs at worst."""
    ours, theirs = ours[: len(signals)], theirs[: len(signals)]
    scores = [np.abs(np.einsum("ij,ij->i", unit[k].conj(), signals, dtype=np.complex128)) for k in (ours, theirs)]
    short = ((scores[1] - scores[0]) / scores[1]).max()
    return f"same atom {np.mean(ours == theirs):.4%}, score short by at most {max(short, 0.0):.0e}"


def _matching(threads: int, n: int) -> Iterator[dict[str, Any]]:
    import torch

    import spinray
    from spinray.mri import mrf

    spinray.set_num_threads(threads)
    torch.set_num_threads(threads)
    series = voxels(n)

    def against(
        title: str,
        peer: str,
        D: Any,
        signals: np.ndarray,
        theirs: Callable[[np.ndarray], np.ndarray],
        part: int,
        goals: Any,
    ) -> dict[str, Any]:
        unit = _unit(D.signals)
        result = D.match(signals)
        ours_s = best(lambda: D.match(signals), 3)
        kept: list[np.ndarray] = []
        few = np.ascontiguousarray(signals[:part])
        theirs(few[:32])
        theirs_s = seconds(lambda: kept.append(theirs(few))) * n / part
        said = f"{agreement(unit, few, result.index, kept[0])}; {result.scored:.2%} scored"
        return row(title, f"{peer} ({part} voxels, scaled)", threads, ours_s, theirs_s, *goals, accuracy=said)

    D = dictionary(RANK)
    coefficients = series @ D.basis
    title = f"match {n:,} noisy voxels, {D.n_atoms:,} FISP atoms"
    unit = _unit(D.signals)
    short = f"{title}, rank {RANK}"
    yield against(short, "NumPy product + argmax", D, coefficients, lambda y: numpy_match(unit, y), n // 32, (20, 60))
    if installed("torchsim"):
        from torchsim.estimators import DictionaryMatcher

        matcher = DictionaryMatcher(dictionary=torch.as_tensor(D.signals).to(torch.complex64))

        def exact(y: np.ndarray) -> np.ndarray:
            return np.asarray(matcher.match(torch.as_tensor(y)).indices).reshape(len(y), -1)[:, 0]

        yield against(short, "torchsim exact matcher", D, coefficients, exact, n // 32, (50, 200))
    full = dictionary(None)
    rows_of_full = torch.as_tensor(_unit(full.signals))
    yield against(
        f"{title}, {N_PULSES} echoes",
        "torch product + argmax",
        full,
        series,
        lambda y: torch_match(rows_of_full, torch.as_tensor(y)),
        n // 256,
        (20, 80),
    )
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((100_000, RANK), dtype=np.float32)
    random = mrf.Dictionary(noise, {"number": np.arange(len(noise), dtype=np.float64)})
    parts = rng.standard_normal((2, n, RANK), dtype=np.float32)
    noisy = (parts[0] + 1j * parts[1]).astype(np.complex64)
    unit_noise = _unit(noise)
    yield against(
        f"match {n:,} voxels, {len(noise):,} random atoms, rank {RANK}",
        "NumPy product + argmax",
        random,
        noisy,
        lambda y: numpy_match(unit_noise, y),
        n // 32,
        (3, 5),
    )


def rows(threads: Sequence[int] = (1, 2), quick: bool = False) -> Iterator[dict[str, Any]]:
    """Rows of the table, one at a time; `quick` matches 4,096 voxels."""
    for count in threads:
        yield from _simulations(count)
    yield from _matching(min(threads), 4_096 if quick else VOXELS)


def million(what: str, threads: int) -> dict[str, float]:
    """Seconds and bytes of a million atoms (T1, T2, B1): compressed while simulated, or simulated and dropped."""
    import spinray
    from spinray.mri import mrf

    spinray.set_num_threads(threads)
    axes = grid(112, 112) | {"b1": np.linspace(0.7, 1.3, 95, dtype=np.float32)}
    seq = sequence()
    if what == "simulate":
        # as many atoms, a slab of B1 at a time: a table of all would be four GiB
        def run() -> None:
            for b1 in np.array_split(axes["b1"], 19):
                mrf.Dictionary.simulate(seq, **(axes | {"b1": b1}), n_states=STATES)

        return {"seconds": seconds(run)}
    kept: list[Any] = []

    def compress() -> np.ndarray:
        kept.append(mrf.Dictionary.simulate(seq, **axes, rank=RANK, n_states=STATES))
        signals: np.ndarray = kept[0].signals
        return signals

    mrf.Dictionary.simulate(seq, **grid(20, 20), rank=RANK, n_states=STATES)
    spent: list[float] = []
    extra = extra_peak_memory(lambda: (spent.append(seconds(compress)), kept[0].signals)[1])
    table = kept[0]
    return {
        "seconds": spent[0],
        "bytes": float(extra + table.signals.nbytes),
        "atoms": float(table.n_atoms),
        "energy": float(table.energy),
    }


def scale(n_atoms: int, n_voxels: int, threads: int) -> dict[str, float]:
    """Seconds to match, the first time and again, and the share of atoms scored."""
    import spinray
    from spinray.mri import mrf

    spinray.set_num_threads(threads)
    side = int(np.sqrt(n_atoms / 0.84))
    D = mrf.Dictionary.simulate(sequence(), **grid(side, side), rank=RANK, n_states=STATES)
    y = voxels(n_voxels) @ D.basis
    first = seconds(lambda: D.match(y[:16]))
    again = best(lambda: D.match(y), 3)
    return {"atoms": D.n_atoms, "first": first, "again": again, "scored": float(D.match(y).scored)}


def tables(threads: int = 2, quick: bool = False) -> list[str]:
    """What a million atoms cost, and how matching grows, as Markdown."""
    compressed, simulated = (child("mrf.py", "million", what, str(threads)) for what in ("compress", "simulate"))
    ratio = compressed["seconds"] / simulated["seconds"]
    out = [
        f"{compressed['atoms']:,.0f} atoms (T1, T2, B1) simulated and compressed to rank {RANK} on {threads} threads: "
        f"{compressed['seconds']:.1f} s, {ratio:.2f} times their simulation alone "
        f"({simulated['seconds']:.1f} s; must 1.5), in {compressed['bytes'] / GIB:.2f} GiB (must 2); "
        f"captured energy 1 - {1 - compressed['energy']:.1e}."
    ]
    lines = [f"| match at rank {RANK}, {threads} threads | first call | again | atoms scored |", "|---|---|---|---|"]
    sizes = [(10_000, VOXELS), (100_000, VOXELS), (1_000_000, VOXELS), (100_000, 4_096), (100_000, 262_144)]
    for n_atoms, n_voxels in sizes[:2] if quick else sizes:
        cost = child("mrf.py", "scale", str(n_atoms), str(n_voxels), str(threads))
        what = f"{cost['atoms']:,.0f} atoms, {n_voxels:,} voxels"
        lines.append(f"| {what} | + {cost['first']:.2f} s | {cost['again']:.2f} s | {cost['scored']:.2%} |")
    out.append("\n".join(lines))
    return out


def main() -> None:
    """Print the rows, or as JSON what a fresh process measures for `tables`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="million simulate|compress THREADS, or scale ATOMS VOXELS THREADS")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="thread counts (default: 1 2)")
    parser.add_argument("--quick", action="store_true", help="fewer voxels")
    given = parser.parse_args()
    if given.what and given.what[0] == "million":
        print(json.dumps(million(given.what[1], int(given.what[2]))))
    elif given.what:
        print(json.dumps(scale(*(int(number) for number in given.what[1:]))))
    else:
        from run import HEAD, line

        print(HEAD)
        print("|" + "---|" * HEAD.count(" |"))
        for result in rows(given.threads, given.quick):
            print(line(result), flush=True)
        print("\n\n".join(tables(max(given.threads), given.quick)))
    sys.exit(0)


if __name__ == "__main__":
    main()
