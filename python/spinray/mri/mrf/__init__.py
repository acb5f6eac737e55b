"""MR fingerprinting: sequences, signals, dictionaries, matching, and the design of sequences.

M0 = 1; times in s, angles in rad, off-resonance in Hz. A signal is F0 at each readout, decay until then included.
"""

from __future__ import annotations

# One import for each module, in alphabetical order; each name also into __all__.
from .acquisition import add_noise, scan, spiral_masks, undersample
from .design import DesignResult, crlb, optimise_flip_angles
from .dictionary import Dictionary
from .events import RF, Delay, Event, Inversion, Readout, ShapedRF, Spoil, T2Prep
from .isochromats import bloch
from .match import Match
from .schedules import jiang2015, ma2013
from .sequence import Sequence
from .signal import epg

__all__ = [
    "RF",
    "Delay",
    "DesignResult",
    "Dictionary",
    "Event",
    "Inversion",
    "Match",
    "Readout",
    "Sequence",
    "ShapedRF",
    "Spoil",
    "T2Prep",
    "add_noise",
    "bloch",
    "crlb",
    "epg",
    "jiang2015",
    "ma2013",
    "optimise_flip_angles",
    "scan",
    "spiral_masks",
    "undersample",
]
