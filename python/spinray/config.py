"""What this installation is made of, and how many threads it uses."""

import importlib.util
import platform
from dataclasses import dataclass
from importlib import metadata

from spinray import _core
from spinray._checks import integer
from spinray.errors import InputError

__all__ = ["Config", "get_num_threads", "set_num_threads", "show_config"]

_MOST_THREADS = 1024


def set_num_threads(n: int) -> None:
    """Set how many threads spinray's kernels use in this process.

    Without this call the number is ``OMP_NUM_THREADS``, else ``RAYON_NUM_THREADS``, else the processors
    this process may use; in a process started by multiprocessing, such as a worker of a DataLoader, it is
    one, since its siblings fill the machine. Results do not depend on it.

    Parameters
    ----------
    n
        Number of threads, 1 to 1024.

    Raises
    ------
    InputError
        If `n` is outside 1 to 1024 (a ValueError).
    DtypeError
        If `n` is not an integer (a TypeError).

    Examples
    --------
    >>> before = get_num_threads()
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(before)
    """
    count = integer("n", n, minimum=1)
    if count > _MOST_THREADS:
        raise InputError(f"n: expected an integer <= {_MOST_THREADS}, got {count}")
    _core.set_num_threads(count)


def get_num_threads() -> int:
    """Return how many threads spinray's kernels use in this process.

    Examples
    --------
    >>> get_num_threads() >= 1
    True
    """
    return _core.num_threads()


@dataclass(frozen=True)
class Config:
    """What :func:`show_config` found; printing it gives one line for each entry.

    Attributes
    ----------
    versions
        Installed version of spinray, Python and the packages it works with; None where not installed.
    simd
        Instruction set the kernels dispatch to: ``"avx512"``, ``"avx2"`` or ``"portable"``.
    threads
        Threads the kernels use in this process.
    native
        Native modules and their state: ``"built"``, or why not.
    torch_pinned
        The torch version the native module ``_torch`` needs.
    """

    versions: dict[str, str | None]
    simd: str
    threads: int
    native: dict[str, str]
    torch_pinned: str

    def __repr__(self) -> str:
        """One line for each entry, names aligned."""
        rows = {name: version or "not installed" for name, version in self.versions.items()}
        rows["torch"] += f" (spinray._torch needs {self.torch_pinned})"
        rows["instruction set"] = self.simd
        rows["threads"] = str(self.threads)
        rows.update({f"spinray.{name}": state for name, state in self.native.items()})
        width = max(map(len, rows))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def show_config() -> Config:
    """Return the versions, instruction set, threads and native modules of this installation.

    Nothing is printed and torch is not imported: its version comes from the package metadata.

    Examples
    --------
    >>> show_config().native["_core"]
    'built'
    """
    packages = ("numpy", "scipy", "pydicom", "h5py", "nibabel", "scikit-image", "torch")
    versions = {"spinray": _version("spinray"), "python": platform.python_version()}
    versions |= {name: _version(name) for name in packages}
    pinned = _pinned_torch()
    return Config(
        versions=versions,
        simd=_core.simd_level(),
        threads=_core.num_threads(),
        native={"_core": "built", "_torch": _torch_state(versions["torch"], pinned)},
        torch_pinned=pinned,
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _pinned_torch() -> str:
    """Version of the extra ``torch``, as pyproject.toml declares it: the one place that pins it."""
    requirement = next(r for r in metadata.requires("spinray") or [] if r.startswith("torch=="))
    return requirement.split(";")[0].strip().removeprefix("torch==")


def _torch_state(found: str | None, pinned: str) -> str:
    built = importlib.util.find_spec("spinray._torch") is not None
    state = "built" if built else "not built"
    if found is None or not f"{found}.".startswith(pinned.removesuffix("*")):
        return f"{state}, needs torch {pinned}, found {found or 'none'}"
    return state if built else f"{state}, this installation of spinray came without it"
