"""What an installation says of itself."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

import spinray
from spinray import _core, config


def test_config_names_versions_threads_instruction_set_and_native_modules():
    found = spinray.show_config()
    assert found.versions["numpy"] == np.__version__
    assert found.versions["python"] == platform.python_version()
    assert found.versions["spinray"] == spinray.__version__
    assert found.threads == spinray.get_num_threads()
    assert found.simd == _core.simd_level()
    assert found.native["_core"] == "built"
    text = repr(found)
    for part in (np.__version__, found.simd, "spinray._torch", f"needs {found.torch_pinned}"):
        assert part in text


def test_show_config_prints_nothing_and_does_not_import_torch():
    code = "import spinray, sys; spinray.show_config(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "needs torch 2.13.*, found none"),
        ("2.12.1", "needs torch 2.13.*, found 2.12.1"),
        ("2.1.3", "needs torch 2.13.*, found 2.1.3"),
        ("2.13.0+cpu", "this installation of spinray came without it"),
    ],
)
def test_the_state_of_the_torch_module_says_why_it_is_missing(found, says, monkeypatch):
    monkeypatch.setattr(config.importlib.util, "find_spec", lambda name: None)
    assert config._torch_state(found, "2.13.*") == f"not built, {says}"


def test_a_torch_module_that_does_not_fit_the_installed_torch_is_reported(monkeypatch):
    monkeypatch.setattr(config.importlib.util, "find_spec", lambda name: object())
    assert config._torch_state("2.13.1", "2.13.*") == "built"
    assert config._torch_state("2.14.0", "2.13.*") == "built, needs torch 2.13.*, found 2.14.0"


@pytest.mark.usefixtures("keep_threads")
def test_threads_can_be_set_with_any_integer_type():
    for n in (3, np.int64(2), 1):
        spinray.set_num_threads(n)
        assert spinray.get_num_threads() == n


@pytest.mark.parametrize(
    ("n", "error"),
    [(0, ValueError), (-1, ValueError), (10**30, ValueError), (1.5, TypeError), ("2", TypeError), (True, TypeError)],
)
def test_an_impossible_number_of_threads_is_refused_by_name(n, error):
    before = spinray.get_num_threads()
    with pytest.raises(error, match=r"^n: expected"):
        spinray.set_num_threads(n)
    assert spinray.get_num_threads() == before


def test_the_instruction_set_can_be_forced_down():
    code = "import spinray; print(spinray.show_config().simd)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SPINRAY_SIMD": "portable"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == "portable\n"
