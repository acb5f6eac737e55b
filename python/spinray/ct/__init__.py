"""X-ray CT: scans as operators, reconstruction, and what turns counts into attenuation."""

from spinray.ct.fbp import FilteredBackprojection, fbp
from spinray.ct.geometry import ConeBeam, FanBeam, ParallelBeam
from spinray.ct.measurement import add_noise, attenuation_to_hu, hu_to_attenuation, normalise
from spinray.ct.polyenergetic import correct_beam_hardening, scan, transmission
from spinray.ct.rotation_centre import find_rotation_centre
from spinray.ct.scan_dose import dose
from spinray.ct.scattering import Scatter, correct_scatter, scatter

__all__ = [
    "ConeBeam",
    "FanBeam",
    "FilteredBackprojection",
    "ParallelBeam",
    "Scatter",
    "add_noise",
    "attenuation_to_hu",
    "correct_beam_hardening",
    "correct_scatter",
    "dose",
    "fbp",
    "find_rotation_centre",
    "hu_to_attenuation",
    "normalise",
    "scan",
    "scatter",
    "transmission",
]
