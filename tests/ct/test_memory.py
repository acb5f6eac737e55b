"""Peak memory beside input and output: a copy of the volume and 64 MB; to reconstruct, one of the projections more."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")

PROGRAM = """
import re
import numpy as np
import spinray
from spinray import Grid, ct

def kilobytes(name):
    with open("/proc/self/status") as file:
        return int(re.search(name + r":\\s+(\\d+) kB", file.read())[1])

spinray.set_num_threads(2)
A = {operator}
small = {operator_small}
volume, projections = (4 * np.prod(shape) / 1e6 for shape in {shapes})
for operator in (small, A):
    x = np.ones(({n}, *operator.domain_shape), np.float32)
    if operator is A:
        # The peak so far is forgotten; what is resident now is input and programs.
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = kilobytes("VmRSS")
    y = operator(x)
extra = (kilobytes("VmHWM") - before) * 1024 / 1e6 - y.nbytes / 1e6
print(extra, {n} * volume, {n} * projections)
"""
TURN = "np.linspace(0, 6.2, {1})"
CONE = f"ct.ConeBeam(Grid(({{0}}, {{0}}, {{0}})), {TURN}, ({{2}}, {{2}}), 2.0, 1000, 2000)"
STACK = f"ct.ParallelBeam(Grid(({{0}}, {{0}}, {{0}})), {TURN}, {{2}})"
FAN = f"ct.FanBeam(Grid(({{0}}, {{0}})), {TURN}, {{2}}, 1.5, 4000, 6000)"
#: Scans, their sizes (voxels across, views, columns), and images in a batch.
CALLS = {
    "cone": (CONE, (288, 60, 300), 1),
    "stack": (STACK, (288, 60, 300), 1),
    "fan": (FAN, (3000, 60, 3000), 1),
    "batch of fans": (FAN, (512, 200, 700), 16),
}


# The gradient of a single reconstructed image (fan, R.H) works on the memory of sixteen, and is left out.
KINDS = [(name, kind) for name in CALLS for kind in ("A", "A.H", "R", "R.H") if (name, kind) != ("fan", "R.H")]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_kernels_need_one_copy_of_the_volume(name, kind):
    scan, sizes, n = CALLS[name]

    def operator(sizes):
        A = scan.format(*sizes)
        return {
            "A": A,
            "A.H": f"{A}.H",
            "R": f"ct.FilteredBackprojection({A})",
            "R.H": f"ct.FilteredBackprojection({A}).H",
        }[kind]

    shapes = "(A.domain_shape, A.range_shape)" if kind in ("A", "R.H") else "(A.range_shape, A.domain_shape)"
    program = PROGRAM.format(operator=operator(sizes), operator_small=operator((16, 20, 20)), shapes=shapes, n=n)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    extra, volume, projections = map(float, done.stdout.split())
    allowed = volume + 64 + (projections if "R" in kind else 0)
    report = (
        f"{name} {kind}: {extra:.0f} MB beside input and output (volume {volume:.0f}, projections {projections:.0f} MB)"
    )
    print(report)
    assert extra <= allowed, report
