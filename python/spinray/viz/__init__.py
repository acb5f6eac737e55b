"""Figures of images, volumes and sinograms, with matplotlib.

Images are drawn in mm, y upwards as indices grow with +y; volumes that know their place (`spinray.Volume`) in the
radiological convention, the patient's right on the left. Functions return matplotlib's own objects, for you to go on.
"""

from __future__ import annotations

from .comparison import compare
from .images import show
from .sinograms import show_sinogram

__all__ = ["compare", "show", "show_sinogram"]
