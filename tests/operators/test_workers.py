"""Operators in the worker processes of a DataLoader."""

import numpy as np
import pytest

from spinray import _core
from spinray.operators import LinearOperator, Matrix
from spinray.testing import assert_safe_in_workers

pytest.importorskip("torch")


class Noisy(LinearOperator):
    """Something that runs on spinray's thread pool: identity plus a kernel call whose result is not used."""

    domain_shape = range_shape = (4,)

    def _forward(self, x):
        _core.poisson(np.full(1 << 17, 5.0), 1)
        return x.copy()

    _adjoint = _forward


@pytest.fixture
def two_threads():
    before = _core.num_threads()
    _core.set_num_threads(2)
    yield
    _core.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_workers_do_not_hang_and_use_one_thread(start_method):
    assert_safe_in_workers(Noisy(), start_method=start_method)


def test_a_worker_that_fails_is_reported():
    class Broken(Matrix):
        def _forward(self, x):
            from torch.utils.data import get_worker_info

            if get_worker_info() is not None:
                raise RuntimeError("no luck")
            return super()._forward(x)

    with pytest.raises(AssertionError, match="no luck"):
        assert_safe_in_workers(Broken(np.eye(2)), num_workers=1)


def test_a_worker_that_computes_something_else_is_reported():
    class Different(Matrix):
        def _forward(self, x):
            from torch.utils.data import get_worker_info

            return super()._forward(x) + (get_worker_info() is not None)

    with pytest.raises(AssertionError, match="in a worker \\(fork\\) against this process: 2 of 2 entries differ"):
        assert_safe_in_workers(Different(np.eye(2)), num_workers=1)
