"""Networks in Rust beside their PyTorch twins: training steps, inference and peak memory.

Both run with contiguous weights and with ``.to(memory_format=torch.channels_last)``; the ratio is that of the faster
ones. Medians of steps taken in turn.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from harness import child, resident, seconds


class Workload(NamedTuple):
    """A network, its input, and the largest ratio of times it may have."""

    title: str
    make: Callable[..., Any]
    shape: tuple[int, ...]
    must: float
    rounds: int
    steps: tuple[str, ...] = ("training step", "inference")
    precisions: tuple[str, ...] = ("float32", "bf16 autocast")


def workloads() -> dict[str, Workload]:
    """The networks of the table."""
    from spinray import nn

    return {
        "unet": Workload(
            "U-Net, 32 features, 4 levels, 256^2, batch 4",
            lambda **k: nn.UNet(features=32, **k),
            (4, 1, 256, 256),
            1.03,
            7,
        ),
        "unet3d": Workload(
            "3-D U-Net, 16 features, 3 levels, 64^3",
            lambda **k: nn.UNet(features=16, levels=3, dim=3, **k),
            (1, 1, 64, 64, 64),
            1.03,
            9,
        ),
        "dncnn": Workload("DnCNN-17, 64^2, batch 16", lambda **k: nn.DnCNN(**k), (16, 1, 64, 64), 1.03, 7),
        "drone": Workload(
            "DRONE (MLP 500-300-300-2), batch 1000",
            lambda **k: nn.MLP(500, 2, hidden=(300, 300), activation="tanh", output_activation="sigmoid", **k),
            (1000, 500),
            1.03,
            200,
        ),
        "tiny": Workload(
            "U-Net, 8 features, 2 levels, 16^2, batch 1",
            lambda **k: nn.UNet(features=8, levels=2, **k),
            (1, 1, 16, 16),
            0.85,
            500,
            ("forward and backward",),
            ("float32",),
        ),
    }


def contenders(work: Workload) -> dict[str, tuple[Any, Any]]:
    """Networks of the same weights with their inputs: ours and the twin, both in both layouts."""
    import torch

    torch.manual_seed(0)
    first = work.make()
    x = torch.randn(work.shape)
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim, torch.contiguous_format)
    entries = {}
    for backend, who in (("libtorch", "Rust"), ("torch", "twin")):
        for name, layout in ((who, torch.contiguous_format), (f"{who}, channels last", last)):
            network = work.make(backend=backend).to(memory_format=layout)
            network.load_state_dict(first.state_dict())
            entries[name] = (network, x.to(memory_format=layout))
    return entries


def stepper(kind: str, network: Any, x: Any, precision: str) -> Callable[[], None]:
    """One step of that kind; training is with fused Adam, as one would."""
    import torch

    network.train(kind != "inference")
    optimiser = torch.optim.Adam(network.parameters(), fused=True)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision != "float32")
    weights, ones = list(network.parameters()), torch.ones_like(x)

    def infer() -> None:
        with torch.no_grad(), autocast:
            network(x)

    def both_ways() -> None:
        torch.autograd.grad(network(x), weights, ones)

    def train() -> None:
        optimiser.zero_grad()
        with autocast:
            loss = network(x).square().mean()
        loss.backward()
        optimiser.step()

    return {"inference": infer, "forward and backward": both_ways, "training step": train}[kind]


def medians(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each step, taken in turn after two warm-ups."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 2):
        for name, step in steps.items():
            spent = seconds(step)
            if number >= 2:
                times[name].append(spent)
    return {name: statistics.median(values) for name, values in times.items()}


def compiled(kind: str, network: Any, x: Any, precision: str, rounds: int) -> float:
    """Median seconds of the compiled twin, warm."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Each is compiled for its own shapes, however many were before.
        torch.compiler.reset()
        step = stepper(kind, torch.compile(network), x, precision)
        return medians({"compiled": step}, rounds)["compiled"]


def lines(threads: int, quick: bool) -> Iterator[str]:
    """The table of times, with the ratio of peak memory of a training step."""
    import torch

    torch.set_num_threads(threads)
    times = ("Rust ms", "channels last ms", "twin ms", "channels last ms")
    heads = ("step", *times, "ratio", "must", "compiled ms", "memory")
    yield f"| network, {threads} threads | " + " | ".join(heads) + " |"
    yield "|---" * (len(heads) + 1) + "|"
    for key, work in workloads().items():
        memory = peak_in_processes(key, "libtorch") / peak_in_processes(key, "torch")
        for kind in work.steps:
            for precision in work.precisions:
                entries = contenders(work)
                rounds = max(3, work.rounds // 3) if quick else work.rounds
                ms = medians({name: stepper(kind, *entry, precision) for name, entry in entries.items()}, rounds)
                ratio = min(ms["Rust"], ms["Rust, channels last"]) / min(ms["twin"], ms["twin, channels last"])
                said = f"{ratio:.3f}" + ("" if ratio <= work.must else " (missed)")
                twin = entries["twin, channels last"]
                built = "-" if quick else f"{1e3 * compiled(kind, *twin, precision, rounds):.3g}"
                cells = [f"{work.title}", f"{kind}, {precision}", *(f"{1e3 * ms[name]:.4g}" for name in entries)]
                share = f"{memory:.3f}" if kind == work.steps[0] and precision == "float32" else ""
                yield "| " + " | ".join([*cells, said, f"{work.must:g}", built, share]) + " |"
                gc.collect()


def tables(threads: int, quick: bool) -> Iterator[str]:
    """Tables of the README, each one text."""
    yield "\n".join(lines(threads, quick))


def rows(threads: list[int], quick: bool) -> Iterator[dict[str, Any]]:
    """No lines in the table of peers: the twin is no other tool."""
    yield from ()


def peak_in_processes(key: str, backend: str) -> int:
    """Least of five processes' `peak_of_training`: which pages a heap keeps is chance, and a tenth of all."""
    return min(child("networks.py", "--memory", key, backend) for _ in range(5))


def peak_of_training(key: str, backend: str) -> int:
    """Bytes that three training steps add to the resident memory of a process."""
    import torch

    def step_of(work: Workload) -> Callable[[], None]:
        torch.manual_seed(0)
        return stepper("training step", work.make(backend=backend), torch.randn(work.shape), "float32")

    # A first step, of something small, loads code that is counted to neither.
    step_of(workloads()["tiny"])()
    step = step_of(workloads()[key])
    before = resident(peak=False)
    for _ in range(3):
        step()
    return resident(peak=True) - before


def main() -> None:
    """Print what a child process is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", nargs=2, metavar=("NETWORK", "BACKEND"), required=True)
    given = parser.parse_args()
    print(json.dumps(peak_of_training(*given.memory)))


if __name__ == "__main__":
    main()
