"""The main job, on one image: ``python -m spinray.demo [--input FILE_OR_FOLDER] [--out DIR]``.

A real CT slice is scanned at low dose and with few views and reconstructed by FBP, SIRT and FISTA-TV; a raw
measurement is reconstructed itself. Then an analytic head in a cone beam, a shifted rotation axis found by gradient
descent, a brain by fingerprinting, the dose of the scan by photon Monte Carlo, and the same FBP in scikit-image.
Figures and a report in HTML are left in a folder.
"""

from __future__ import annotations

from .command import main
from .job import run

__all__ = ["main", "run"]
