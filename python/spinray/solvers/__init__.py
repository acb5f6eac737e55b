"""Iterative solvers for ``A x = y``, generic over linear operators.

========  ==================================================================  ======  ===========
solver    converges to                                                        bounds  regularizer
========  ==================================================================  ======  ===========
`sirt`    the weighted least squares solution, weights 1 / (row sums of A)    yes     no
`cgls`    the least squares solution, in few iterations                       no      no
`fista`   the minimiser of 1/2 abs(A x - y)^2 + R(x)                          yes     yes
========  ==================================================================  ======  ===========

All are called as ``solver(A, y, n_iter=..., x0=None, regularizer=None, bounds=None, callback=None, progress=False,
return_info=False)``. Leading batch dimensions of y are independent problems solved side by side. Torch tensors give
tensors; the iterations themselves have no gradient (to train through them, unroll with ``A`` and ``A.H``).
"""

from __future__ import annotations

from .common import SolverResult
from .conjugate_gradients import cgls
from .fast_gradient import fista
from .simultaneous import sirt

__all__ = ["SolverResult", "cgls", "fista", "sirt"]
