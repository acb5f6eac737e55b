"""The thread pool: who decides its size, that it survives fork and spawn, that results do not depend on it, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import spinray
from spinray import _core

PROGRAMS = Path(__file__).parent / "programs"
# Long enough for any machine to finish; a hang fails.
PATIENCE = 300


def threads_of_a_new_process(code="import spinray; print(spinray.get_num_threads())", **variables):
    """What `code` prints in a process with no thread variables but these."""
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    return [int(word) for word in done.stdout.split()]


def test_environment_variables_set_the_number_of_threads():
    assert threads_of_a_new_process(OMP_NUM_THREADS="3") == [3]
    assert threads_of_a_new_process(RAYON_NUM_THREADS="5") == [5]
    assert threads_of_a_new_process(OMP_NUM_THREADS="3", RAYON_NUM_THREADS="5") == [3]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no processor affinity")
def test_without_a_wish_the_processors_this_process_may_use_are_counted():
    everything = len(os.sched_getaffinity(0))
    # A cgroup may allow less than the affinity does.
    (default,) = threads_of_a_new_process()
    assert 1 <= default <= everything
    assert threads_of_a_new_process(OMP_NUM_THREADS="nonsense") == [default]
    assert threads_of_a_new_process(OMP_NUM_THREADS="0") == [default]
    pinned = "import os; os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1]); "
    assert threads_of_a_new_process(pinned + "import spinray; print(spinray.get_num_threads())") == [1]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system does not list threads in /proc")
def test_the_pool_has_as_many_threads_as_were_set():
    code = """
import numpy, pathlib, spinray
from spinray import _core
spinray.set_num_threads(3)
_core.poisson(numpy.ones(100_000), 0)
names = [task.joinpath("comm").read_text() for task in pathlib.Path("/proc/self/task").glob("*")]
print(sum(name.startswith("spinray-") for name in names))
"""
    assert threads_of_a_new_process(code, OMP_NUM_THREADS="2") == [3]


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize("sample", [_core.poisson, _core.normal])
def test_any_number_of_threads_gives_the_same_bits(sample, rng):
    parameters = rng.uniform(0.0, 200.0, 200_001)
    results = []
    for n in (1, 2, 5):
        spinray.set_num_threads(n)
        results.append(sample(parameters, 7))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])
    assert not np.array_equal(results[0], sample(parameters, 8))


def test_small_calls_give_the_same_bits_however_many_and_in_any_thread(rng):
    scan = spinray.ct.ParallelBeam(spinray.Grid((16, 16)), np.linspace(0.0, np.pi, 12, endpoint=False), n_cols=24)
    image = rng.random(scan.domain_shape, np.float32)

    sinogram = scan(image)

    def many_calls(_):
        return [scan(image).tobytes() + scan.adjoint(sinogram).tobytes() for _ in range(100)]

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(many_calls, range(8)))
    # The first calls of a new thread are the pool's, later ones its own.
    assert {bits for calls in found for bits in calls} == {found[0][0]}
    assert np.allclose(scan(np.stack([image] * 8))[0], scan(image), rtol=1e-5)


@pytest.mark.parametrize(
    ("context", "state"), [("fork", "used"), ("fork", "unused"), ("spawn", "used"), ("forkserver", "unused")]
)
def test_loader_workers_project_on_one_thread_each_and_do_not_hang(context, state):
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, PROGRAMS / "loader.py", context, state],
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    found = json.loads(done.stdout)
    assert found == {"same": [True] * 6, "threads": [1] * 6, "in_worker": [True] * 6}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_worker_may_ask_for_more_threads():
    code = """
import multiprocessing, os, spinray
from spinray import _core
def work(queue):
    before = spinray.get_num_threads()
    spinray.set_num_threads(3)
    queue.put((before, spinray.get_num_threads()))
context = multiprocessing.get_context("fork")
queue = context.SimpleQueue()
process = context.Process(target=work, args=(queue,))
process.start(); process.join()
print(*queue.get())
"""
    assert threads_of_a_new_process(code, OMP_NUM_THREADS="2") == [1, 3]


@pytest.mark.parametrize("call", ["total_variation", "back_projection"])
def test_ctrl_c_stops_a_call_that_would_take_hours(call):
    with subprocess.Popen(
        [sys.executable, PROGRAMS / "long_call.py", call], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "calling\n", process.stderr.read()
            time.sleep(1.0)  # well into the kernel
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE / 5)
        finally:
            process.kill()
    assert (out, err, process.returncode) == ("interrupted 0.0\n", "", 0)
