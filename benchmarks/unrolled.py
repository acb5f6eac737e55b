"""Learned primal-dual with spinray's projector beside deepinv's and a sparse matrix of torch, on the same threads.

The projector's share of a training step is timed by itself: the operator as often forth and back as in the network,
with its gradients. The whole step is that of the network in which each projector stands. Further lines: what a call
of an operator costs inside a network in Rust and through Python, and the memory that training ten steps at 512^2 x 720
views takes.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from harness import child, race, resident, row, seconds
from peers import installed

SIZE, VIEWS, STEPS, FEATURES = 256, 180, 5, 32


def scan(size: int, views: int) -> Any:
    """A parallel beam over half a turn that sees the corners."""
    import spinray

    angles = np.linspace(0, np.pi, views, endpoint=False)
    return spinray.ct.ParallelBeam(spinray.Grid((size, size)), angles, math.ceil(size * math.sqrt(2)))


class Deepinv:
    """deepinv's projector; of its two adjoints the faster, inexact one: the other differentiates the projector."""

    def __init__(self, A: Any) -> None:
        import torch
        from deepinv.physics import Tomography

        # It turns the other way.
        angles = torch.tensor(-np.degrees(A.angles), dtype=torch.float32)
        size = A.domain_shape[0]
        self.physics = Tomography(angles, size, normalize=False, adjoint_via_backprop=False)
        self.columns = A.range_shape[1]

    def __call__(self, x: Any) -> Any:
        """Project (n, 1, y, x) to (n, 1, view, column)."""
        return self.physics.A(x).transpose(-1, -2)

    def adjoint(self, y: Any) -> Any:
        """Back-project."""
        return self.physics.A_adjoint(y.transpose(-1, -2))


class Sparse:
    """The system matrix by linear interpolation on the detector, two entries for each pixel and view, in CSR."""

    def __init__(self, A: Any) -> None:
        import scipy.sparse
        import torch

        self.domain, self.range = A.domain_shape, A.range_shape
        columns = A.range_shape[1]
        y, x = (axis.astype(np.float32) for axis in A.grid.axes())
        pixels = np.arange(len(y) * len(x))
        blocks = []
        for t in A.angles:
            u = (x * np.cos(t) + y[:, None] * np.sin(t)).ravel() - A.columns[0]
            first = np.floor(u).astype(np.int64)
            share = (u - first).astype(np.float32)
            entries = np.concatenate([1 - share, share])
            positions = np.concatenate([first, first + 1]), np.tile(pixels, 2)
            blocks.append(scipy.sparse.csr_matrix((entries, positions), (columns, len(pixels)), np.float32))
        matrix = scipy.sparse.vstack(blocks, "csr")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CSR is in beta
            self.pair = tuple(
                torch.sparse_csr_tensor(*map(torch.from_numpy, (m.indptr, m.indices, m.data)), m.shape)
                for m in (matrix, matrix.T.tocsr())
            )

        class Product(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any, adjoint: bool) -> Any:
                ctx.adjoint = adjoint
                return (self.pair[adjoint] @ x.reshape(-1, 1)).reshape(1, 1, *(self.domain, self.range)[not adjoint])

            @staticmethod
            def backward(ctx: Any, gradient: Any) -> Any:
                return Product.apply(gradient, not ctx.adjoint), None

        self.apply = Product.apply

    def __call__(self, x: Any) -> Any:
        """Project (1, 1, y, x) to (1, 1, view, column)."""
        return self.apply(x, False)

    def adjoint(self, y: Any) -> Any:
        """Back-project."""
        return self.apply(y, True)


def projector_share(A: Any) -> Callable[[], object]:
    """The projections of one training step: forth and back in every iteration, and the same in the backward pass."""
    import torch

    def call() -> None:
        x = torch.ones(1, 1, SIZE, SIZE, requires_grad=True)
        h = x
        for _ in range(STEPS):
            h = 1e-4 * A.adjoint(A(h))
        h.sum().backward()

    return call


def training_step(network: Any, y: Any) -> Callable[[], object]:
    """Forward, backward and fused Adam."""
    import torch

    optimiser = torch.optim.Adam(network.parameters(), fused=True)

    def call() -> None:
        optimiser.zero_grad()
        network(y).square().mean().backward()
        optimiser.step()

    return call


class Native:
    """Our operator as networks in Rust see it."""

    def __init__(self, A: Any) -> None:
        from spinray.nn._native import libtorch
        from spinray.nn._operators import native_operator

        self.apply = native_operator(libtorch(), A)

    def __call__(self, x: Any) -> Any:
        """Project."""
        return self.apply(x)

    def adjoint(self, y: Any) -> Any:
        """Back-project."""
        return self.apply(y, True)


def rows(threads: list[int], quick: bool) -> Iterator[dict[str, Any]]:
    """Lines of the table of peers: the projector's share of a step, and the whole step."""
    import torch

    import spinray
    from spinray import nn

    A = scan(SIZE, VIEWS)
    y = torch.randn(1, 1, *A.range_shape)
    title = f"learned primal-dual, {STEPS} steps, {SIZE}^2, {VIEWS} views, {FEATURES} channels"
    runs = 2 if quick else 5
    for name, module, make, must in (
        ("deepinv Tomography", "deepinv", Deepinv, 10.0),
        ("torch sparse CSR", "torch", Sparse, 5.0),
    ):
        if not installed(module):
            yield row(f"{title}: projections", name, threads[0], None, None, must, None, "peer not installed")
            continue
        peer = make(A)
        y_axis, x_axis = A.grid.axes()
        x = torch.tensor(np.hypot(y_axis[:, None] - 20, x_axis) < 80, dtype=torch.float32)[None, None]
        apart = float((peer(x) - A(x)).norm() / A(x).norm())
        for count in threads:
            spinray.set_num_threads(count)
            torch.set_num_threads(count)
            ours_s, theirs_s = race(projector_share(Native(A)), projector_share(peer), runs=runs, budget=60)
            yield row(f"{title}: projections", name, count, ours_s, theirs_s, must, None, f"apart {apart:.1%}")
            options = {"steps": STEPS, "features": FEATURES}
            ours, theirs = nn.LearnedPrimalDual(A, **options), nn.LearnedPrimalDual(A, backend="torch", **options)
            theirs.scaled = peer
            ours_s, theirs_s = race(training_step(ours, y), training_step(theirs, y), runs=runs, budget=90)
            yield row(f"{title}: whole step", name, count, ours_s, theirs_s)


def call_costs(rounds: int = 100, calls_a_round: int = 50) -> dict[str, tuple[float, float]]:
    """Median microseconds of a call on a tiny scan: forward, and forward with backward; by way of calling."""
    import torch

    A = scan(4, 2)
    x = torch.ones(1, 1, 4, 4)
    tracked = x.clone().requires_grad_()
    ways = {"Rust": Native(A), "Python": A}

    def both(way: Callable[[Any], Any]) -> Callable[[], object]:
        seed = torch.ones(1, 1, *A.range_shape)
        return lambda: torch.autograd.grad(way(tracked), tracked, seed)

    calls = {(name, 0): lambda way=way: way(x) for name, way in ways.items()}
    calls |= {(name, 1): both(way) for name, way in ways.items()}
    times: dict[Any, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            times[key].append(seconds(lambda call=call: [call() for _ in range(calls_a_round)]) / calls_a_round)
    micro = {key: 1e6 * statistics.median(values) for key, values in times.items()}
    return {name: (micro[name, 0], micro[name, 1]) for name in ways}


def tables(threads: int, quick: bool) -> Iterator[str]:
    """Tables of the README, each one text."""
    # In a process of its own: threads that wait after large products make small calls slow.
    costs = child("unrolled.py", "--measure", "calls")
    text = ["| an operator in the autograd graph, microseconds | forward | forward and backward |", "|---|---|---|"]
    names = {"Rust": "C++ node, kernel without Python", "Python": "autograd.Function in Python"}
    text += [f"| {names[name]} | {a:.1f} | {b:.1f} |" for name, (a, b) in costs.items()]
    yield "\n".join(text)
    if not quick:
        stored, recomputed = (child("unrolled.py", "--measure", kind) for kind in ("store", "recompute"))
        said = [f"{each['bytes'] / 1e9:.2f} GB and {each['seconds']:.1f} s" for each in (recomputed, stored)]
        yield (
            f"Learned primal-dual, 10 steps, 512^2, 720 views: a training step takes {said[0]} where iterations are "
            f"computed again (must: < 4 GB), {said[1]} where they are stored."
        )


def memory(kind: str) -> dict[str, float]:
    """Peak memory of a process that trains one step, all of it, and the seconds of the step."""
    import torch

    from spinray import nn

    A = scan(512, 720)
    step = training_step(nn.LearnedPrimalDual(A, recompute=kind == "recompute"), torch.randn(1, 1, *A.range_shape))
    spent = seconds(step)
    return {"bytes": resident(peak=True), "seconds": spent}


def main() -> None:
    """Print what a child process is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", choices=("calls", "store", "recompute"), required=True)
    asked = parser.parse_args().measure
    print(json.dumps(call_costs() if asked == "calls" else memory(asked)))


if __name__ == "__main__":
    main()
