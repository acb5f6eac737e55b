"""Two processes that train together, as torch's DistributedDataParallel has it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from programs.distributed import problem, train
from spinray.training import Simulated, load_weights
from spinray.training._batches import batches_of
from spinray.training._processes import Processes

PROGRAM = Path(__file__).resolve().parents[1] / "programs/distributed.py"


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """What two processes have written."""
    if not dist.is_gloo_available():
        pytest.skip("this torch is built without gloo")
    folder = tmp_path_factory.mktemp("distributed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(rank), "2", str(folder / "rendezvous"), str(folder)],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in (0, 1)
    ]
    try:
        errors = [process.communicate(timeout=300)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return folder


def test_two_processes_train_as_one_with_the_joined_batch(output):
    network, data = problem()
    history = train(network, data)
    (first, epochs), (second, other_epochs) = (torch.load(output / f"formed{rank}.pt") for rank in (0, 1))
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(first[name], tensor, rtol=1e-9, atol=1e-12)
        assert torch.equal(first[name], second[name])
    for name in ("loss", "validation_loss", "learning_rate", "step"):
        assert epochs[name] == pytest.approx(history.epochs[name], rel=1e-9)
        assert epochs[name] == other_epochs[name]


@pytest.mark.parametrize(("n", "sizes"), [(24, [6, 6, 6, 6]), (23, [6, 6, 6, 3]), (20, [6, 6, 6])])
def test_every_batch_is_shared_out_evenly(n, sizes):
    """What is left over, fewer than there are processes, is not used in that epoch."""
    x = torch.arange(n)
    shares = [batches_of("data", (x, x), 6, 0, Processes(rank, 3)) for rank in range(3)]
    (whole,) = [list(batches_of("data", (x, x), 6, 0, Processes()).batches(4, 0))]
    parts = [list(one.batches(4, 0)) for one in shares]
    assert [one.n_batches for one in shares] == [len(sizes)] * 3
    for k, size in enumerate(sizes):
        assert [len(part[k][0]) for part in parts] == [size // 3] * 3
        joined = torch.cat([part[k][0] for part in parts])
        assert set(joined.tolist()) <= set(whole[k][0].tolist())
        assert len(set(joined.tolist())) == size


@pytest.mark.parametrize(
    ("n", "size", "batches"),
    [
        (12, 6, [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]),
        (10, 6, [[0, 1, 2, 3, 4, 5], [6, 7, 8]]),
        (8, 6, [[0, 1, 2, 3, 4, 5]]),
        (7, None, [[0, 1, 2], [3, 4, 5]]),
    ],
)
def test_every_simulated_batch_is_shared_out_evenly(n, size, batches):
    data = Simulated(lambda seed, index: (index, index), n=n, batch_size=size)
    shares = [batches_of("data", data, 32, 0, Processes(rank, 3)) for rank in range(3)]
    assert [one.n_batches for one in shares] == [len(batches)] * 3
    for epoch in (0, 2):
        made = [[torch.as_tensor(batch[0]).reshape(-1).tolist() for batch in one.batches(epoch, 0)] for one in shares]
        assert made == [[[epoch * n + i for i in batch[rank::3]] for batch in batches] for rank in range(3)]
        assert [torch.as_tensor(batch[0]).reshape(-1).tolist() for batch in shares[1].batches(epoch, 1)] == made[1][1:]


@pytest.mark.parametrize(
    ("size", "n", "says"),
    [
        (8, 24, "batch_size: expected a multiple of the 3 processes, got 8"),
        (6, 2, "data: expected a sample for each of 3"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(size, n, says):
    with pytest.raises(ValueError, match=says):
        batches_of("data", (torch.zeros(n), torch.zeros(n)), size, 0, Processes(0, 3))
    with pytest.raises(ValueError, match=says.replace("data:", "n:")):
        batches_of("data", Simulated(lambda seed, index: index, n, batch_size=size), 1, 0, Processes(0, 3))


def test_the_first_process_writes_the_checkpoint(output):
    network, _ = problem()
    load_weights(network, output / "run.pt")
    trained = torch.load(output / "formed0.pt")[0]
    assert all(torch.equal(tensor, trained[name]) for name, tensor in network.state_dict().items())


def test_loaders_may_share_samples_out_themselves(output):
    first, second = (torch.load(output / f"given{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_time_budget_of_several_clocks_is_refused(output):
    assert "seconds: the clocks of several processes differ" in (output / "error1").read_text()
