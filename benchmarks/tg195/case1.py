"""Case 1: half-value layers of aluminium.

A point source shines a cone that just fills a disc 10 mm across, 1000 mm away; an aluminium filter begins 100 mm from
the source. Scored is air kerma on the disc, primary and scattered, with the filter and without: with a half-value layer
the ratio is 1/2, with a quarter-value layer 1/4.

Kerma is energy left in a foil of compressed air on the disc, so thin that it stops 2 % of photons of the mean energy
(which hardens beams alike with and without a filter: some 0.1 % of the ratio), 20 % where there is but one energy.

From the report: energies and spectra, thicknesses (HVL and QVL of each), distances, size of the disc. The width of the
filter (20 mm radius here) is from the validation programme of another code. That there is air between is from there
too, and from the report's kermas, which narrow-beam attenuation in 1 m of air explains within 0.3 %, and nothing else
does. The aluminium's density is not restated there: 2.699 g/cm3 (NIST).
"""

from __future__ import annotations

import math

import common
import numpy as np

#: beam -> half and quarter value layer, mm of aluminium
LAYERS = {
    "30 keV": (2.273, 4.546),
    "100 keV": (15.11, 30.22),
    "30 kVp": (0.3431, 0.7663),
    "100 kVp": (3.950, 9.840),
}
DISTANCE, RADIUS, BEGINS = 1000.0, 5.0, 100.0


def kerma(beam: common.Beam, thickness: float, given: common.Options) -> np.ndarray:
    """Of each part of the histories: air kerma on the disc behind so much aluminium, in a unit of its own."""
    single = isinstance(beam.energy, float)
    mu = common.material("compressed air").attenuation(beam.energy if single else beam.energy.mean_energy)
    foil = (0.2 if single else 0.02) / mu
    parts = [common.cylinder("disc", "compressed air", (0.0, 0.0, DISTANCE + foil / 2), RADIUS, foil)]
    if thickness:
        middle = (0.0, 0.0, BEGINS + thickness / 2)
        parts.append(common.cylinder("filter", "aluminium", middle, 20.0, thickness))
    world = ((-30.0, -30.0, 0.0), (30.0, 30.0, DISTANCE + 10.0))
    source = common.cone(beam, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 2 * math.atan2(RADIUS, DISTANCE))
    return common.run(world, parts, source, given).energy("disc")


def main() -> None:
    """Print the ratios."""
    given = common.options(__doc__)
    for name, layers in LAYERS.items():
        beam = common.beam(name, given)
        if beam is None:
            continue
        scored = [kerma(beam, thickness, given) for thickness in (0.0, *layers)]
        table = common.Table(f"case 1, {name}", "kerma relative to no filter", given)
        for label, share in zip(("R1, half-value layer", "R2, quarter-value layer"), scored[1:], strict=True):
            table.add(label, *(share / scored[0]))
        table.show()


if __name__ == "__main__":
    main()
