"""The proximal map of total variation beside scikit-image's, at equal objective, in float32 on the same threads.

`denoise_tv_chambolle` does its iterations (eps 0: all of them); what is timed on our side is `TV.prox` with the fewest
iterations whose image has at most the objective ``1/2 |x - v|^2 + w TV(x)`` of scikit-image's. Further rows time
narrower instruction sets, and as many iterations of ours as of theirs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from harness import best, child, row, seconds
from peers import installed

WEIGHT = 0.1
NOISE = 0.1


def noisy(n: int) -> np.ndarray:
    """A ball with an octahedron inside, n^3, under noise, float32."""
    z, y, x = np.ogrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j, -1 : 1 : n * 1j]
    clean = 0.5 * (x**2 + y**2 + z**2 < 0.7) + 0.5 * (abs(x - 0.2) + abs(y) + abs(z + 0.1) < 0.4)
    noise = np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32)
    return clean.astype(np.float32) + np.float32(NOISE) * noise


def objective(x: np.ndarray, v: np.ndarray) -> float:
    """1/2 |x - v|^2 + w TV(x), written out in NumPy and summed in double, a plane at a time."""
    total = 0.0
    for z in range(len(x)):
        here = x[z]
        below = x[min(z + 1, len(x) - 1)]
        along = (below - here, np.diff(here, axis=0, append=here[-1:]), np.diff(here, axis=1, append=here[:, -1:]))
        lengths = np.sqrt(sum(np.square(d, dtype=np.float64) for d in along))
        total += 0.5 * np.square(here - v[z], dtype=np.float64).sum() + WEIGHT * lengths.sum()
    return total


def enough(v: np.ndarray, target: float, most: int) -> tuple[int, float]:
    """The fewest iterations of ours that reach the target, and the objective they reach."""
    from spinray.regularizers import TV

    low, high = 1, most
    reached: dict[int, float] = {}
    while low < high:
        k = (low + high) // 2
        reached[k] = objective(TV(WEIGHT).prox(v, n_iter=k), v)
        low, high = (low, k) if reached[k] <= target else (k + 1, high)
    if low not in reached:
        reached[low] = objective(TV(WEIGHT).prox(v, n_iter=low), v)
    return low, reached[low]


def ours_alone(n: int, n_iter: int, threads: int) -> float:
    """Best seconds of our prox in this process."""
    import spinray
    from spinray.regularizers import TV

    spinray.set_num_threads(threads)
    v, tv = noisy(n), TV(WEIGHT)
    return best(lambda: tv.prox(v, n_iter=n_iter), 3)


def rows(
    threads: Sequence[int] = (1, 2), quick: bool = False, n: int | None = None, n_iter: int = 50
) -> Iterator[dict[str, Any]]:
    """Rows of the table, one at a time; `quick` takes 96^3 for 256^3."""
    import spinray
    from spinray.regularizers import TV

    n = n or (96 if quick else 256)
    title, against = f"TV proximal map {n}^3", f"scikit-image denoise_tv_chambolle, {n_iter} iterations"
    if not installed("skimage"):
        for count in threads:
            ours_s = ours_alone(n, n_iter, count)
            yield row(f"{title}, {n_iter} iterations", against, count, ours_s, None, accuracy="peer not installed")
        return
    from skimage.restoration import denoise_tv_chambolle

    v, tv = noisy(n), TV(WEIGHT)
    theirs: list[np.ndarray] = []

    def peer() -> None:
        theirs[:] = [denoise_tv_chambolle(v, weight=WEIGHT, eps=0, max_num_iter=n_iter)]

    # A call at 256^3 takes most of a minute and one thread whatever it may use: one timing serves all rows.
    peer_s = seconds(peer) if n >= 192 else best(peer, 3)
    target = objective(theirs[0], v)
    needed, reached = enough(v, target, 2 * n_iter)
    said = f"objective {reached:.6g} / {target:.6g}"
    equal = f"{title}, equal objective ({needed} iterations)"
    for count in threads:
        spinray.set_num_threads(count)
        ours_s = best(lambda: tv.prox(v, n_iter=needed), 3)
        yield row(equal, against, count, ours_s, peer_s, 5, 15, said)
    for level in ("avx2", "portable"):
        ours_s = child("tv.py", "--alone", str(needed), "--size", str(n), "--threads", "1", SPINRAY_SIMD=level)
        yield row(f"{equal}, {level}", against, 1, ours_s, peer_s, accuracy=said)
    spinray.set_num_threads(min(threads))
    at_same = objective(tv.prox(v, n_iter=n_iter), v)
    for count in threads:
        spinray.set_num_threads(count)
        ours_s = best(lambda: tv.prox(v, n_iter=n_iter), 3)
        said = f"objective {at_same:.6g} / {target:.6g}"
        yield row(f"{title}, {n_iter} iterations", against, count, ours_s, peer_s, accuracy=said)


def main() -> None:
    """Print the rows."""
    from run import HEAD, line

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="voxels along each axis (default: 256)")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="thread counts (default: 1 2)")
    parser.add_argument("--alone", type=int, metavar="N", help="print only the seconds of N of our iterations")
    given = parser.parse_args()
    if given.alone:
        print(json.dumps(ours_alone(given.size, given.alone, max(given.threads))))
        return
    print(HEAD)
    print("|" + "---|" * HEAD.count(" |"))
    for result in rows(given.threads, n=given.size):
        print(line(result), flush=True)


if __name__ == "__main__":
    main()
