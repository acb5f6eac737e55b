"""Make a kernel call that would take hours: `python long_call.py NAME`; prints "calling", then what ended it."""

import sys

import numpy as np

import spinray


def total_variation():
    """A proximal map of a billion iterations."""
    return spinray.regularizers.TV(1.0).prox(np.eye(64, dtype=np.float32), 1.0, n_iter=10**9)


def back_projection():
    """Four million pixels, a million views."""
    angles = np.linspace(0.0, np.pi, 1_000_000)
    scan = spinray.ct.ParallelBeam(spinray.Grid((2048, 2048)), angles, n_cols=4, col_spacing=1000.0)
    return scan.adjoint(np.ones(scan.range_shape, np.float32))


CALLS = {call.__name__: call for call in (total_variation, back_projection)}

if __name__ == "__main__":
    call = CALLS[sys.argv[1]]
    small = spinray.ct.ParallelBeam(spinray.Grid((4, 4)), np.zeros(1), n_cols=6)
    for _ in range(100):  # such calls soon stay in this thread; the long one must not
        small(np.ones((4, 4), np.float32))
    print("calling", flush=True)
    try:
        call()
    except KeyboardInterrupt:
        # The pool is free again, and computes.
        spinray.set_num_threads(2)
        print("interrupted", spinray._core.poisson(np.zeros(3), 0).sum(), flush=True)
    else:
        print("completed", flush=True)
