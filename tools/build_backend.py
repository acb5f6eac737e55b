"""PEP 517 backend: maturin for ``spinray._core``, and ``spinray._torch`` beside it where that can be built.

maturin packs one native module for each project. The second one needs the exact LibTorch that
pyproject.toml pins in the extra ``torch``, so it is built only where that version is importable, put
beside the Python sources and packed through ``[tool.maturin] include``. Everywhere else, an isolated
``pip install .`` among them, the wheel simply comes without it.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import maturin
from maturin import *  # noqa: F403  the hooks that need nothing of ours

ROOT = Path(__file__).resolve().parents[1]


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    with _torch_modules_set_aside():
        build_torch_module()
        return maturin.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    build_torch_module()
    return maturin.build_editable(wheel_directory, config_settings, metadata_directory)


def build_torch_module() -> Path | None:
    """Build ``spinray._torch`` for this interpreter; None, after saying why, where it cannot be."""
    module = ROOT / "python/spinray" / f"_torch{sysconfig.get_config_var('EXT_SUFFIX')}"
    module.unlink(missing_ok=True)
    reason = reason_against_torch()
    if reason:
        print(f"building without spinray._torch: {reason}", file=sys.stderr)
        return None
    environment = {**os.environ, "LIBTORCH_USE_PYTORCH": "1", "PYO3_PYTHON": sys.executable}
    # torch-sys asks the first `python3` it finds where LibTorch is.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    # A folder of its own: maturin and a plain cargo would each build pyo3 anew after the other.
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "torch"
    command = ["cargo", "build", "--release", "--locked", "-p", "spinray-torch", "--target-dir", str(target)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    name = "lib_torch.dylib" if sys.platform == "darwin" else "lib_torch.so"
    shutil.copy2(target / "release" / name, module)
    return module


def reason_against_torch() -> str | None:
    """Why ``spinray._torch`` cannot be built here, or None if it can."""
    if not (ROOT / "rust/torch/Cargo.toml").is_file():
        return "this source tree has no rust/torch"
    pinned = re.search(r'"torch==([\d.]+)\*"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))[1]
    try:
        found = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return f"torch is not installed (needs {pinned}*)"
    return None if found.startswith(pinned) else f"needs torch {pinned}*, found {found}"


@contextmanager
def _torch_modules_set_aside() -> Iterator[None]:
    """Keep modules of an editable install, perhaps of another Python, out of the wheel and unharmed by it."""
    package = ROOT / "python/spinray"
    with tempfile.TemporaryDirectory() as aside:
        for module in package.glob("_torch.*.so"):
            shutil.move(module, aside)
        try:
            yield
        finally:
            for module in package.glob("_torch.*.so"):
                module.unlink()
            for module in Path(aside).iterdir():
                shutil.move(module, package)
