"""CT projectors and FBP beside the field's tools, in one process, on the same threads, in float32.

What is timed on our side is the whole public call, `A(x)`, `A.adjoint(y)` or `ct.fbp(A, y)`, with its checks and
the array it allocates; on the peer's side the run of an object made beforehand. The accuracy column holds both
against the same scene: projections against closed forms, images against the voxelised scene inside the inscribed
circle (relative RMS), and the two against each other where both live on one grid.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import peers
from harness import best, race, row
from workloads import WORKLOADS, Workload

Build = Callable[[Workload, str, int, np.ndarray, np.ndarray], peers.Contender]

NAMES = {"forward": "forward", "back": "back (exact adjoint)", "fbp": "FBP"}


@dataclass(frozen=True)
class Contest:
    """One line of the table: a task of a workload against a peer, at each of `threads`."""

    workload: str
    task: str
    against: str
    module: str
    build: Build
    threads: tuple[int, ...]
    must: float
    aim: float
    slices: int = 1
    runs: int = 5

    @property
    def title(self) -> str:
        """The workload column."""
        name = "FDK" if self.task == "fbp" and self.workload in ("W3", "W4") else NAMES[self.task]
        return f"{self.workload} {name}" + (f", stack of {self.slices}, per slice" if self.slices > 1 else "")


CONTESTS = (
    Contest("W1", "forward", "astra-toolbox linear", "astra", peers.astra, (1,), 10, 18),
    Contest("W1", "back", "astra-toolbox linear", "astra", peers.astra, (1,), 10, 25),
    Contest("W2", "forward", "astra-toolbox line_fanflat", "astra", peers.astra, (1,), 10, 18),
    Contest("W2", "back", "astra-toolbox line_fanflat", "astra", peers.astra, (1,), 10, 25),
    Contest("W1", "fbp", "imops inverse_radon (512 bins)", "imops", peers.imops, (2,), 6, 12),
    Contest("W1", "fbp", "scikit-image iradon", "skimage", peers.skimage, (1,), 20, 40),
    Contest("W1", "fbp", "midas-tomo gridrec (its own clock)", "midas_tomo", peers.gridrec, (2,), 1.5, 4, slices=16),
    Contest("W3", "forward", "itk-rtk Joseph", "itk", peers.rtk, (1, 2), 10, 14),
    Contest("W3", "back", "itk-rtk Joseph", "itk", peers.rtk, (1, 2), 12, 24),
    Contest("W3", "fbp", "itk-rtk FDK", "itk", peers.rtk, (2,), 12, 25),
    Contest("W3", "fbp", "mbirjax fdk_recon", "mbirjax", peers.mbirjax, (2,), 8, 15),
    Contest("W4", "forward", "itk-rtk Joseph", "itk", peers.rtk, (2,), 15, 25, runs=1),
)


@functools.lru_cache(maxsize=1)
def scan(workload: Workload) -> tuple[Any, np.ndarray, np.ndarray]:
    """The operator, the voxelised scene and its exact projections."""
    return workload.operator(), workload.image(), workload.projections()


def task_of(operator: Any, task: str, image: np.ndarray, projections: np.ndarray) -> Callable[[], np.ndarray]:
    """The call of spinray that does `task`."""
    import spinray

    if task == "forward":
        return lambda: operator(image)
    if task == "back":
        return lambda: operator.adjoint(projections)
    return lambda: spinray.ct.fbp(operator, projections)


def apart(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> float:
    """Relative RMS difference of `a` from `b`, over `where`."""
    x, y = (np.float64(v if where is None else v[where]) for v in (a, b))
    return float(np.linalg.norm(x - y) / np.linalg.norm(y))


def inside(workload: Workload, origin: tuple[float, ...]) -> np.ndarray:
    """Pixels within 0.9 of the inscribed circle, the first pixel centred at `origin`."""
    y, x = (o + np.arange(n) for o, n in zip(origin[-2:], workload.shape[-2:], strict=True))
    return np.broadcast_to(y[:, None] ** 2 + x**2 < (0.45 * len(x)) ** 2, workload.shape)


def accuracy(contest: Contest, workload: Workload, ours: np.ndarray, contender: peers.Contender) -> str:
    """What the accuracy column says of the last outcome of both."""
    theirs = contender.fetch()
    if contest.slices > 1:
        ours, theirs = ours[0], theirs[0]
    if contest.task == "back":
        # RTK ends rays at the centres of the outermost voxels
        interior = np.zeros(ours.shape, bool)
        interior[(slice(2, -2),) * ours.ndim] = True
        return f"apart {apart(ours, theirs, interior):.1e}"
    if contest.task == "forward":
        exact = scan(workload)[2]
        return f"error {apart(ours, exact):.2%} / {apart(theirs, exact):.2%}, apart {apart(ours, theirs):.1e}"
    centred = tuple(-(n - 1) / 2 for n in workload.shape)
    errors = [
        apart(image, workload.image(origin), inside(workload, origin))
        for image, origin in ((ours, centred), (theirs, contender.origin or centred))
    ]
    text = f"error {errors[0]:.2%} / {errors[1]:.2%}"
    return text if contender.origin else f"{text}, apart {apart(ours, theirs, inside(workload, centred)):.1e}"


def run(contest: Contest, threads: int) -> dict[str, Any]:
    """The row of one contest on `threads` threads; a peer that is absent or does not start leaves ours alone in it."""
    import spinray

    workload = WORKLOADS[contest.workload]
    operator, image, projections = scan(workload)
    if contest.slices > 1:
        projections = np.repeat(projections[None], contest.slices, axis=0)
    spinray.set_num_threads(threads)
    ours = task_of(operator, contest.task, image, projections)
    theirs_s = None
    if not peers.installed(contest.module):
        ours_s, said = best(ours), "peer not installed"
    else:
        try:
            contender = contest.build(workload, contest.task, threads, image, projections)
        except Exception as error:
            ours_s, said = best(ours), f"peer does not start: {error}"
        else:
            ours_s, theirs_s = race(ours, contender.call, contender.before, contest.runs, clock=contender.seconds)
            theirs_s /= contest.slices
            said = accuracy(contest, workload, ours(), contender)
    ours_s /= contest.slices
    return row(contest.title, contest.against, threads, ours_s, theirs_s, contest.must, contest.aim, said)


def rows(only: Sequence[str] = (), threads: Sequence[int] = (1, 2), quick: bool = False) -> Iterator[dict[str, Any]]:
    """Rows of the table, one at a time; `only` names workloads, `quick` leaves W4 (a minute of the peer) out."""
    for contest in CONTESTS:
        if (not only or contest.workload in only) and not (quick and contest.workload == "W4"):
            yield from (run(contest, count) for count in contest.threads if count in threads)
