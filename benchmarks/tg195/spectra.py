"""Write spectra.csv: tube spectra with the half-value layers of those of AAPM report 195.

    pip install spekpy spinray && python benchmarks/tg195/spectra.py

spekpy (MIT licence): G. Poludniowski, A. Omar, R. Bujila, P. Andreo, "Technical Note: SpekPy v2.0: a software toolkit
for modeling x-ray tube spectra", Med. Phys. 48, 3630 (2021), with its default model "casim" and the report's anodes,
angles and potentials. The report's own spectra come from another model: with the report's filters the half-value
layers would differ, so the filters are as thick as makes them the report's, behind the metre of air of case 1. Columns
are photons per bin of 0.5 keV, of one in all; the first is the middle of the bin.
"""

from __future__ import annotations

from pathlib import Path

import common
import numpy as np
import spekpy
from scipy.optimize import brentq

from spinray import transport

OUT = Path(__file__).with_name("spectra.csv")
MIDDLES = np.arange(0.25, 120.0, 0.5)


def spectrum(tube: common.Tube, thickness: float) -> transport.Spectrum:
    """Return the spectrum behind so much of the tube's filter, in mm."""
    model = spekpy.Spek(kvp=tube.kv, th=tube.angle, dk=0.5, targ=tube.anode, physics="casim")
    model.filter(tube.filter, thickness)
    energies, values = model.get_spectrum(edges=False, flu=True, diff=False)
    kept = values > 1e-6 * values.max()
    return transport.Spectrum(energies[kept], values[kept], bin_width=0.5)


def matched(tube: common.Tube) -> transport.Spectrum:
    """Return the spectrum behind the filter that gives the half-value layer."""

    def excess(thickness: float) -> float:
        return common.behind_air(spectrum(tube, thickness)).half_value_layer() - tube.layer

    thickness = brentq(excess, 0.3 * tube.thickness, 3.0 * tube.thickness, xtol=1e-4)
    print(f"{tube.kv:g} kV: {thickness:.4f} mm {tube.filter} for the report's {tube.thickness} mm")
    return spectrum(tube, thickness)


def main() -> None:
    """Write the table."""
    columns = [MIDDLES]
    for tube in common.TUBES.values():
        found = matched(tube)
        column = np.zeros(len(MIDDLES))
        column[np.round((found.energies - MIDDLES[0]) / 0.5).astype(int)] = found.weights
        columns.append(column)
    lit = np.any(columns[1:], axis=0)
    head = ",".join(["keV", *common.TUBES])
    np.savetxt(OUT, np.array(columns).T[lit], fmt=["%.2f", *["%.4g"] * len(common.TUBES)], delimiter=",", header=head)


if __name__ == "__main__":
    main()
