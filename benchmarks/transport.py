"""Photon Monte Carlo beside ompmc: histories per second of the same pencils into the same water cubes.

Both sides score energy in every voxel with its standard error, follow photons alone (electrons stop where they start:
ompmc's cut-off is set above their energies) and sample Rayleigh scattering; ompmc scatters off free electrons where
spinray knows binding, and stops photons below 10 keV, the least its data allow. Time per history is what more
histories take: (t of many - t of few) / (many - few), so that reading data and making tables count for neither.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from harness import child, resident, row, seconds
from peers import installed

SIDE = 300.0  # of the cube, mm
MILLION = 1_000_000
#: energy (keV), voxel (mm), ratio it must have, ratio it aims at
PENCILS = ((60.0, 3.0, 3, 8), (60.0, 1.0, 5, 10), (140.0, 3.0, 4, 8), (511.0, 3.0, 4, 8))
#: tissues of the torso: those that enclose others first, then its organs
TISSUES = (
    "water",
    "skin",
    "adipose tissue",
    "muscle",
    "soft tissue",
    "lung tissue",
    "cortical bone",
    "compact bone",
    "blood",
    "brain",
    "breast tissue",
    "eye lens",
    "ovary",
    "testis",
    "ICRU tissue",
    "adipose tissue ICRP",
    "muscle ICRP",
    "blood ICRP",
    "lung ICRP",
    "brain ICRP",
)


def cube(voxel: float) -> Any:
    """Water, 300 mm a side, its front face at z = 0."""
    import spinray
    from spinray import transport

    n = round(SIDE / voxel)
    middle = (n - 1) / 2 * voxel
    grid = spinray.Grid((n, n, n), voxel, origin=(voxel / 2, -middle, -middle))
    return transport.VoxelPhantom(grid, [transport.Material("water")], np.zeros(grid.shape, np.uint8))


def torso(voxel: float) -> Any:
    """An upright ellipse of 20 tissues in the cube: fat, muscle, lungs, a spine, organs as balls about the beam."""
    from spinray import transport

    grid = cube(voxel).grid
    z, y, x = np.meshgrid(*grid.axes(), indexing="ij", sparse=True)
    labels = np.full(grid.shape, TISSUES.index("water"), np.uint8)
    depth = z - SIDE / 2

    def put(tissue: str, where: np.ndarray) -> None:
        labels[np.broadcast_to(where, grid.shape)] = TISSUES.index(tissue)

    for tissue, size in (("skin", 1.0), ("adipose tissue", 0.98), ("muscle", 0.85), ("soft tissue", 0.72)):
        put(tissue, (x / 149) ** 2 + (depth / 149) ** 2 < size**2)
    for side in (-1, 1):
        put("lung tissue", ((x - 60 * side) / 38) ** 2 + (depth / 70) ** 2 + (y / 120) ** 2 < 1)
    put("cortical bone", x**2 + (depth - 75) ** 2 < 20**2)
    put("compact bone", x**2 + (depth - 75) ** 2 < 16**2)
    rest = [t for t in TISSUES if not (labels == TISSUES.index(t)).any()]
    rng = np.random.default_rng(7)
    for k, tissue in enumerate(rest):
        at = rng.uniform((-20, -100, -70), (20, 100, 50))
        put(tissue, (x - at[0]) ** 2 + (y - at[1] * (k > 3)) ** 2 + (depth - at[2]) ** 2 < 15**2)
    inflated = {"lung tissue": 0.26, "lung ICRP": 0.26}
    return transport.VoxelPhantom(grid, [transport.Material(t, inflated.get(t)) for t in TISSUES], labels)


def pencil(energy: float) -> Any:
    """Into the middle of the front face, from 1 mm before it."""
    from spinray import transport

    return transport.PencilBeam((0.0, 0.0, -1.0), (0.0, 0.0, 1.0), energy)


def simulated(phantom: Any, energy: float, n: int) -> Any:
    """The result of n histories."""
    from spinray import transport

    return transport.simulate(phantom, pencil(energy), n_histories=n, seed=1, progress=False)


class Ompmc:
    """The same cube and pencil for ompmc, centimetres and MeV inside."""

    def __init__(self, energy: float, voxel: float) -> None:
        import ompmc

        n = round(SIDE / voxel)
        across, depth = np.linspace(-SIDE / 20, SIDE / 20, n + 1), np.linspace(0.0, SIDE / 10, n + 1)
        density = np.full((n, n, n), 1.0, order="F")
        material = np.ones((n, n, n), np.int32, order="F")
        self.geometry = ompmc.Geometry(across, across, depth, ["H2O521ICRU"], density, material)
        # an opening without width, seen from 100 m
        self.source = ompmc.CollimatedSource(ssd=1e4, x_min=0.0, x_max=0.0, y_min=0.0, y_max=0.0)
        self.spectrum = ompmc.Spectrum.monoenergetic(energy / 1e3)
        data = ompmc.data_path() / "pegs4" / "521icru.pegs4dat"
        self.physics = ompmc.Physics(pegs_file=data, global_ecut=10.0, global_pcut=0.01, n_split=1)
        self.calculate = ompmc.calc_cube

    def energy(self, n: int) -> np.ndarray:
        """Deposited energy per history, keV, (z, y, x)."""
        found, _ = self.calculate(
            self.geometry, self.source, self.spectrum, self.physics, n_histories=n, n_batches=10, output_dose=False
        )
        return np.asarray(found).T * 1e3


def pace(*runs: Any, few: int, many: int, budget: float) -> list[float | None]:
    """Seconds a million more histories take in each of these; best of three or more rounds in which each has its turn.

    None where the machine was too busy to tell: many histories seemed to take no longer than few.
    """
    best: dict[tuple[int, int], float] = {}
    spent, rounds = 0.0, 0
    while rounds < 3 or spent < budget:
        rounds += 1
        for n in (few, many):
            for k, run in enumerate(runs):
                took = seconds(lambda run=run, n=n: run(n))
                best[k, n] = min(took, best.get((k, n), took))
                spent += took
    longer = [best[k, many] - best[k, few] for k in range(len(runs))]
    return [t * MILLION / (many - few) if t > 0 else None for t in longer]


def agreement(ours: Any, theirs: np.ndarray, energy: float) -> str:
    """Depth doses and absorbed energy of both."""
    mine = ours["dose"].energy
    depths = [part.sum(axis=(1, 2)).reshape(10, -1).sum(axis=1) for part in (mine, theirs)]
    apart = np.abs(depths[0] - depths[1]).max() / depths[1].max()
    absorbed = f"absorbed {mine.sum() / energy:.4f} / {theirs.sum() / energy:.4f}"
    return f"{absorbed}, depth dose in steps of 30 mm apart {apart:.1%} of its peak"


def measure(threads: int, quick: bool) -> list[dict[str, Any]]:
    """Rows at one number of threads, which the environment must have set for ompmc as well."""
    import spinray

    spinray.set_num_threads(threads)
    few, many = 20_000 * threads, (250_000 if quick else 1_000_000) * threads
    out = []
    for energy, voxel, must, aim in PENCILS:
        phantom = cube(voxel)
        title = f"{energy:g} keV pencil, 300 mm water cube, {voxel:g} mm voxels, a million histories"
        goals = (must, aim) if threads == 1 else (None, None)

        def ours(n: int, phantom: Any = phantom, energy: float = energy) -> Any:
            return simulated(phantom, energy, n)

        ours(few)
        if not installed("ompmc"):
            alone = pace(ours, few=few, many=many, budget=4.0)[0]
            out.append(row(title, "ompmc", threads, alone, None, *goals, accuracy="peer not installed"))
            continue
        peer = Ompmc(energy, voxel)
        # with 27 million voxels, the ends of a call take as long as many histories
        counts = {"few": few, "many": many if voxel > 1 else 4 * many}
        paces = pace(ours, peer.energy, **counts, budget=4.0 if quick else 25.0)
        said = agreement(ours(many), peer.energy(many), energy)
        out.append(row(title, "ompmc", threads, *paces, *goals, accuracy=said))
    bodies = [functools.partial(simulated, phantom, 60.0) for phantom in (torso(3.0), cube(3.0))]
    paces = pace(*bodies, few=few, many=many, budget=4.0 if quick else 12.0)
    title = "60 keV pencil, torso of 20 tissues, 3 mm voxels, a million histories"
    out.append(row(title, "own water cube", threads, *paces, 0.6, 0.8))
    return out


def sharing() -> list[float | None]:
    """Seconds a million histories of the 60 keV pencil take on one thread, and on two."""
    import spinray

    phantom = cube(3.0)

    def run(n: int, threads: int) -> Any:
        spinray.set_num_threads(threads)
        return simulated(phantom, 60.0, n)

    runs = [functools.partial(run, threads=threads) for threads in (1, 2)]
    return pace(*runs, few=40_000, many=4_000_000, budget=25.0)


def scaling(voxel: float, threads: int) -> dict[str, float]:
    """Of the 60 keV pencil: seconds per million histories, flights per history, bytes beyond those before."""
    import spinray
    from spinray import _core

    spinray.set_num_threads(threads)
    simulated(cube(10.0), 60.0, 1000)
    before = resident(peak=False)
    phantom = cube(voxel)
    simulated(phantom, 60.0, 1000)
    extra = resident(peak=True) - before
    kernel = _core.Transport(phantom._kernel(), pencil(60.0)._kernel(), [_core.dose_tally()], False)
    kernel.simulate(1, 0, 10_000)
    run = functools.partial(simulated, phantom, 60.0)
    spent = pace(run, few=20_000 * threads, many=1_000_000 * threads, budget=4.0)[0]
    return {
        "voxels": float(np.prod(phantom.grid.shape)),
        "seconds": spent or float("nan"),
        "bytes": float(extra),
        "flights": kernel.flights / 10_000,
    }


def scanned(views: int) -> tuple[Any, Any, Any]:
    """A voxel head, its cone-beam scan on 128 x 128 pixels, and the tube."""
    import spinray
    from spinray import ct, phantoms, transport

    grid = spinray.Grid((108, 104, 96), 2.0)
    hu = ct.attenuation_to_hu(phantoms.head().voxelise(grid, supersampling=2))
    head = transport.VoxelPhantom.from_hu(spinray.Volume(hu, grid.affine))
    angles = np.linspace(0, 2 * np.pi, views, endpoint=False)
    A = ct.ConeBeam(grid, angles, (128, 128), 3.0, sod=1000, sdd=1500)
    return head, A, transport.Spectrum.tube(120, {"Al": 6.0})


def rms(images: Any) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(images))))


def scatter_image(quick: bool) -> dict[str, Any]:
    """One view: time to an error of 2 % on 128 x 128 pixels, by 16 x 16 of forced detection and photon by photon."""
    import spinray
    from spinray import ct, transport

    spinray.set_num_threads(1)
    head, A, tube = scanned(1)
    goal, few, repeats = 0.02, 10_000, 6 if quick else 16
    beam = transport.ConeBeam(A, tube, 0)

    def forced(n: int, seed: int = 0, size: int = 16) -> np.ndarray:
        return np.asarray(ct.scatter(A, head, tube, n, shape=(size, size), seed=seed).sinogram[0])

    # The same histories on all 128 x 128 pixels: what is apart is interpolation.
    fine = forced(2000 if quick else few, size=128)
    mean = fine.mean()
    interpolation = rms(forced(2000 if quick else few) - fine) / mean
    noise = rms(np.std([forced(few, seed) for seed in range(1, repeats + 1)], axis=0, ddof=1)) / mean
    enough = int(np.ceil(few * noise**2 / (goal**2 - interpolation**2)))
    many = 300_000 if quick else 2_000_000
    tally = [transport.Detector(A, 0)]

    def analogue() -> Any:
        return transport.simulate(head, beam, many, tally)["detector"].scatter

    ours = min(seconds(lambda: forced(enough)) for _ in range(3))
    theirs = min(seconds(analogue) for _ in range(2))
    image = analogue()
    theirs *= (rms(image.std_error) / image.mean.mean() / goal) ** 2
    said = f"{enough:,} histories, interpolation {interpolation:.2%} rms of the mean; analogue time from {many:,}"
    title = "CBCT scatter image of a voxel head, 128 x 128 pixels, to an error of 2 % of the mean"
    return row(title, "own analogue", 1, ours, theirs, 100, 1000, said)


def scatter_scan(quick: bool) -> dict[str, Any]:
    """All of a scan, from 24 views of large pixels; beside its limit of a minute."""
    import spinray
    from spinray import ct, transport

    spinray.set_num_threads(2)
    head, A, tube = scanned(360)
    until = transport.Until(uncertainty=0.05)
    spent = min(seconds(lambda: ct.scatter(A, head, tube, until=until)) for _ in range(2))
    found = ct.scatter(A, head, tube, until=until)
    views = slice(0, None, 15 if quick else 5)
    surer = ct.scatter(A, head, tube, (24 if quick else 72) * 40_000, views=views, seed=1)
    apart = rms(found.sinogram - surer.sinogram) / surer.sinogram.mean()
    said = f"{found.n_histories:,} histories; {apart:.1%} rms of the mean apart from {len(surer.views)} views of 40,000"
    return row("scatter of 360 views of the head, to 5 %", "a minute", 2, spent, 60.0, 1, 4, said)


def rows(threads: Sequence[int] = (1, 2), quick: bool = False) -> Iterator[dict[str, Any]]:
    """Rows of the table; each number of threads in a process of its own, as OpenMP asks for it at its start."""
    options = ["--quick"] if quick else []
    for count in threads:
        environment = {"OMP_NUM_THREADS": str(count)}
        yield from child("transport.py", "measure", str(count), *options, **environment)
    if len(threads) > 1:
        one, two = child("transport.py", "sharing")
        title = "60 keV pencil, 300 mm water cube, 3 mm voxels, a million histories"
        yield row(title, "own, 1 thread", 2, two, one, 1.9, 1.97)
    for what in ("scatter_image", "scatter_scan"):
        yield child("transport.py", what, *options)


def tables(threads: int = 2, quick: bool = False) -> list[str]:
    """How the 60 keV pencil's cost grows with voxels, as Markdown."""
    head = f"| 60 keV pencil in water, {threads} threads | histories / s | ns / flight and thread | memory |"
    lines = [head, "|---|---|---|---|"]
    for voxel in (10.0, 3.0) if quick else (10.0, 5.0, 3.0, 2.0, 1.0):
        cost = child("transport.py", "scaling", str(voxel), str(threads))
        nanoseconds = f"{cost['seconds'] * 1e3 / cost['flights'] * threads:.1f}"
        what = f"{cost['voxels'] / 1e6:.3g} M voxels of {voxel:g} mm"
        speed = f"{1 / cost['seconds']:.2f} M"
        lines.append(f"| {what} | {speed} | {nanoseconds} | {cost['bytes'] / 2**20:.0f} MiB |")
    return ["\n".join(lines)]


def main() -> None:
    """Print the rows, or as JSON what a fresh process measures for them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = "measure THREADS, sharing, scaling VOXEL THREADS, scatter_image or scatter_scan"
    parser.add_argument("what", nargs="*", help=what)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="thread counts (default: 1 2)")
    parser.add_argument("--quick", action="store_true", help="fewer histories")
    given = parser.parse_args()
    if given.what:
        # ompmc reports on standard output from C, part of it as the process ends
        out = os.dup(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if given.what[0] == "measure":
            found: Any = measure(int(given.what[1]), given.quick)
        elif given.what[0] == "sharing":
            found = sharing()
        elif given.what[0] in ("scatter_image", "scatter_scan"):
            found = (scatter_image if given.what[0] == "scatter_image" else scatter_scan)(given.quick)
        else:
            found = scaling(float(given.what[1]), int(given.what[2]))
        os.write(out, (json.dumps(found) + "\n").encode())
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
