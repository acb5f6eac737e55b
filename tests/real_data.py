"""Real files for tests: found in $SPINRAY_DATA or in shared/data beside the repository, else the test is skipped.

The files are never committed. Both folders are laid out alike: ct/, mri/, pet/, spect/.
"""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


def real_file(name: str) -> Path:
    """The file of that name, such as "ct/tooth_sinogram.h5"; skips the test where it is absent."""
    given = os.environ.get("SPINRAY_DATA")
    for folder in ([Path(given)] if given else []) + [BESIDE]:
        if (folder / name).exists():
            return folder / name
    pytest.skip(f"real data {name} is neither in $SPINRAY_DATA ({given or 'not set'}) nor in ../shared/data")
