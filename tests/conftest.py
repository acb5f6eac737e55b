"""What all tests share: a deterministic hypothesis, seeded noise, the thread count put back."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")  # before anything imports matplotlib

import hypothesis
import numpy as np
import pytest

import spinray

# The same examples in every run; a loaded machine is no failure.
hypothesis.settings.register_profile(
    "spinray", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("spinray")

# Run by tests, in processes of their own.
collect_ignore = ["programs"]


@pytest.fixture
def rng():
    """A seeded NumPy generator, new for each test."""
    return np.random.default_rng(20240229)


@pytest.fixture
def keep_threads():
    """The number of threads as it was, after a test that changes it."""
    before = spinray.get_num_threads()
    yield
    spinray.set_num_threads(before)
