"""Scans as running programs: Ctrl-C, instruction sets, progress bars."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ct.scans import every_scan
from spinray import ct

#: Long enough for any machine to stop a kernel; a call that does not stop takes longer.
PATIENCE = 60

LONG_CALLS = {
    "fan": "ct.FanBeam(Grid((2048, 2048)), angles[::5], 2048, 2.0, 4000, 5000)",
    "cone": "ct.ConeBeam(Grid((200, 256, 256)), angles[::25], (256, 256), 2.0, 1000, 1500)",
    "cone adjoint": "ct.ConeBeam(Grid((200, 256, 256)), angles[::25], (256, 256), 2.0, 1000, 1500).H",
    "FDK": "ct.FilteredBackprojection(ct.ConeBeam(Grid((200, 256, 256)), angles[::25], (256, 256), 2.0, 1000, 1500))",
}
LONG_CALL = """
import numpy as np
from spinray import Grid, ct
angles = np.linspace(0, 6.3, 500_000)
operator = {operator}
# Zeros take no memory until they are written to.
x = np.zeros(operator.domain_shape, np.float32)
print("calling", flush=True)
try:
    operator(x)
except KeyboardInterrupt:
    print("interrupted", ct.ParallelBeam(Grid((4, 4)), [0.0], 4)(np.ones((4, 4))).sum(), flush=True)
else:
    print("completed", flush=True)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs gigabytes of zeros that take no memory")
@pytest.mark.parametrize("name", LONG_CALLS)
def test_ctrl_c_stops_a_long_projection_and_leaves_the_pool_usable(name):
    with subprocess.Popen(
        [sys.executable, "-c", LONG_CALL.format(operator=LONG_CALLS[name])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "calling\n", process.stderr.read()
            time.sleep(0.5)  # into the kernel
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert (out, err, process.returncode) == ("interrupted 16.0\n", "", 0)


def everything():
    """Every kernel once: forward, adjoint, batches and reconstruction, in both precisions."""
    results = {}
    for name, A in every_scan(5).items():
        for dtype in (np.float32, np.float64):
            rng = np.random.default_rng(0)
            for n in (1, 9):
                x, y = (rng.random((n, *shape)).astype(dtype) for shape in (A.domain_shape, A.range_shape))
                key = f"{name}, {dtype.__name__}, {n}"
                results[f"A {key}"], results[f"A' {key}"] = A(x), A.adjoint(y)
            R = ct.FilteredBackprojection(A, short_scan=False) if A.sod else None
            if R is not None:
                results[f"R {name}, {dtype.__name__}"] = R(y)
                results[f"R' {name}, {dtype.__name__}"] = R.adjoint(x)
    return results


@pytest.mark.parametrize("level", ["portable", "avx2"])
def test_every_instruction_set_finds_the_same_numbers(level, tmp_path):
    file = tmp_path / "results.npz"
    program = (
        "import sys, numpy, warnings; warnings.simplefilter('ignore'); sys.path.insert(0, sys.argv[1]); "
        "from ct.test_running import everything; from spinray import _core; "
        "numpy.savez(sys.argv[2], **everything()); print(_core.simd_level())"
    )
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    done = subprocess.run(
        [sys.executable, "-c", program, tests, str(file)],
        env=os.environ | {"SPINRAY_SIMD": level},
        capture_output=True,
        text=True,
        check=True,
        timeout=10 * PATIENCE,
    )
    # A machine without AVX2 falls back to portable lanes.
    assert done.stdout.strip() in (level, "portable")
    with np.load(file) as found, pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *args, **options: None)
        here = everything()
        assert set(found) == set(here)
        for key, expected in here.items():
            limit = (1e-5 if expected.dtype == np.float32 else 1e-12) * np.abs(expected).max()
            np.testing.assert_allclose(found[key], expected, rtol=0, atol=limit, err_msg=key)


def test_progress_is_shown_and_changes_nothing(capsys, rng):
    A = every_scan(5)["cone flat"]
    x = rng.standard_normal(A.domain_shape)
    y = A(x, progress=True)
    np.testing.assert_array_equal(y, A(x))
    np.testing.assert_array_equal(A.adjoint(y, progress=True), A.adjoint(y))
    shown = capsys.readouterr()
    assert "ConeBeam" in shown.err + shown.out
    A(x)
    shown = capsys.readouterr()
    assert not shown.err + shown.out
