"""Monte Carlo transport of photons, 1 keV to 3 MeV: materials, phantoms, sources, tallies and `simulate`.

Lengths in mm, energies in keV, densities in g/cm3, attenuation in 1/mm, dose in Gy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spinray.transport.biasing import Biasing
    from spinray.transport.compton import compton_cosine, compton_energy
    from spinray.transport.ct_dose_index import DoseIndex, ctdi, ctdi_phantom
    from spinray.transport.detector import Detector, DetectorImage, DetectorResult
    from spinray.transport.dose import Dose, DoseResult
    from spinray.transport.fluence import Fluence, FluenceResult
    from spinray.transport.interactions import Interactions, InteractionsResult
    from spinray.transport.kerma import Kerma, KermaResult
    from spinray.transport.materials import Material, hounsfield_to_materials, material_names
    from spinray.transport.phantom import VoxelPhantom
    from spinray.transport.phase_space import PhaseSpace, PhaseSpaceResult
    from spinray.transport.result import Result
    from spinray.transport.simulation import Until, simulate
    from spinray.transport.solids import Box, Cylinder, SlabStack, SolidPhantom, Sphere
    from spinray.transport.sources import (
        Bowtie,
        ConeBeam,
        FanBeam,
        ParallelBeam,
        PencilBeam,
        PointSource,
        Rays,
        RectangularBeam,
        VolumeSource,
    )
    from spinray.transport.spectrum import Spectrum
    from spinray.transport.surface import Surface

__all__ = [
    "Biasing",
    "Bowtie",
    "Box",
    "ConeBeam",
    "Cylinder",
    "Detector",
    "DetectorImage",
    "DetectorResult",
    "Dose",
    "DoseIndex",
    "DoseResult",
    "FanBeam",
    "Fluence",
    "FluenceResult",
    "Interactions",
    "InteractionsResult",
    "Kerma",
    "KermaResult",
    "Material",
    "ParallelBeam",
    "PencilBeam",
    "PhaseSpace",
    "PhaseSpaceResult",
    "PointSource",
    "Rays",
    "RectangularBeam",
    "Result",
    "SlabStack",
    "SolidPhantom",
    "Spectrum",
    "Sphere",
    "Surface",
    "Until",
    "VolumeSource",
    "VoxelPhantom",
    "compton_cosine",
    "compton_energy",
    "ctdi",
    "ctdi_phantom",
    "hounsfield_to_materials",
    "material_names",
    "simulate",
]

# Public name -> the module of this package that defines it, loaded on first use. One line for each module.
_HOME = {
    "Biasing": "biasing",
    **dict.fromkeys(["compton_cosine", "compton_energy"], "compton"),
    **dict.fromkeys(["DoseIndex", "ctdi", "ctdi_phantom"], "ct_dose_index"),
    **dict.fromkeys(["Material", "hounsfield_to_materials", "material_names"], "materials"),
    **dict.fromkeys(["Detector", "DetectorImage", "DetectorResult"], "detector"),
    **dict.fromkeys(["Dose", "DoseResult"], "dose"),
    **dict.fromkeys(["Fluence", "FluenceResult"], "fluence"),
    **dict.fromkeys(["Interactions", "InteractionsResult"], "interactions"),
    **dict.fromkeys(["Kerma", "KermaResult"], "kerma"),
    **dict.fromkeys(["PhaseSpace", "PhaseSpaceResult"], "phase_space"),
    "Result": "result",
    **dict.fromkeys(["Until", "simulate"], "simulation"),
    "VoxelPhantom": "phantom",
    **dict.fromkeys(["Box", "Cylinder", "SlabStack", "SolidPhantom", "Sphere"], "solids"),
    **dict.fromkeys(["Bowtie", "ConeBeam", "FanBeam", "ParallelBeam", "PencilBeam"], "sources"),
    **dict.fromkeys(["PointSource", "Rays", "RectangularBeam", "VolumeSource"], "sources"),
    "Spectrum": "spectrum",
    "Surface": "surface",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'spinray.transport' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"spinray.transport.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
