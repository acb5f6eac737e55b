"""Write python/spinray/transport/tube_spectra.npz: unfiltered spectra of a tungsten tube, from runs of spekpy.

    pip install spekpy && python tools/tube_spectra.py

spekpy (MIT licence): G. Poludniowski, A. Omar, R. Bujila, P. Andreo, "Technical Note: SpekPy v2.0: a software toolkit
for modeling x-ray tube spectra", Med. Phys. 48, 3630 (2021). Its default model "casim" is used, for a thick tungsten
target with an anode angle of 12 degrees, on the central ray, without any filtration (the target's own included), in
bins of 1 keV. Numbers are photons per sr, mAs and bin. Bremsstrahlung is divided by (kVp - E), with E the middle of
the bin: what is left changes slowly with kVp, up to its end (Kramers 1923), so that it can be interpolated.
"""

from pathlib import Path

import numpy as np
import spekpy

OUT = Path(__file__).resolve().parents[1] / "python/spinray/transport/tube_spectra.npz"
ANGLE = 12.0
POTENTIALS = np.arange(40.0, 151.0, 2.0)
BINS = 150
#: spekpy gives photons per cm2 at 1 m.
PER_SR = 100.0**2


def spectrum(potential: float, **parts: bool) -> np.ndarray:
    """Return photons per sr, mAs and bin of 1 keV from 0 to 150 keV."""
    tube = spekpy.Spek(kvp=potential, th=ANGLE, dk=1.0, targ="W", physics="casim", z=100, mas=1, **parts)
    energies, values = tube.get_spectrum(edges=False, flu=True, diff=False)
    result = np.zeros(BINS)
    result[np.floor(energies).astype(int)] = values * PER_SR
    return result


def main() -> None:
    """Write the table."""
    middles = np.arange(BINS) + 0.5
    reduced, lines = [], []
    for potential in POTENTIALS:
        reduced.append(spectrum(potential, char=False) / np.maximum(potential - middles, 0.5))
        lines.append(spectrum(potential, brem=False))
    lit = np.flatnonzero(np.max(lines, axis=0))
    np.savez_compressed(
        OUT,
        angle=ANGLE,
        potentials=POTENTIALS,
        bremsstrahlung=np.array(reduced, np.float32),
        line_bins=lit.astype(np.uint8),
        lines=np.array(lines, np.float32)[:, lit],
        version=spekpy.__version__,
    )
    print(f"{OUT.name}: {OUT.stat().st_size} bytes, spekpy {spekpy.__version__}")


if __name__ == "__main__":
    main()
