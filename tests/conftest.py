"""What all tests share: a deterministic hypothesis, seeded noise, the thread count put back, real data found."""

import os
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")  # before anything imports matplotlib

import hypothesis
import numpy as np
import pytest

import spinray

# The same examples in every run; a loaded machine is no failure.
hypothesis.settings.register_profile("spinray", derandomize=True, deadline=None)
hypothesis.settings.load_profile("spinray")

ROOT = Path(__file__).resolve().parents[1]


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


@pytest.fixture(scope="session")
def real_data():
    """A function from the name of a real file, "ct/tooth_sinogram.h5", to its path; skips where it is absent."""
    places = [Path(place) for place in [os.environ.get("SPINRAY_DATA")] if place]
    places.append(ROOT.parent / "shared" / "data")

    def find(name):
        for place in places:
            if (place / name).exists():
                return place / name
        pytest.skip(f"{name} is neither in $SPINRAY_DATA nor in ../shared/data")

    return find
