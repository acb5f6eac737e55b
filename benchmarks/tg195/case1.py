"""Case 1: half-value layers of aluminium.

A point source shines a cone that just fills a disc 10 mm across, 1000 mm away; an aluminium filter begins 100 mm from
the source. Scored is air kerma on the disc, with the filter and without: with a half-value layer the ratio is 1/2, with
a quarter-value layer 1/4. Kerma is the sum over photons through the disc of E mu_en/rho(E) / |cos| (of the angle to
the disc's normal), with the photons that were never scattered told apart.

From the report: energies and spectra, thicknesses (HVL and QVL of each), distances, size of the disc. The width of the
filter (20 mm radius here) is from the validation programme of another code. That there is air between is from there
too, and from the report's kermas, which narrow-beam attenuation in 1 m of air explains within 0.3 %, and nothing else
does. The aluminium's density is not restated there: 2.699 g/cm3 (NIST).
"""

from __future__ import annotations

import math

import common
import numpy as np

from spinray import transport

#: beam -> half and quarter value layer, mm of aluminium
LAYERS = {
    "30 keV": (2.273, 4.546),
    "100 keV": (15.11, 30.22),
    "30 kVp": (0.3431, 0.7663),
    "100 kVp": (3.950, 9.840),
}
DISTANCE, RADIUS, BEGINS = 1000.0, 5.0, 100.0


def kerma(beam: common.Beam, thickness: float, given: common.Options) -> np.ndarray:
    """Air kerma on the disc behind so much aluminium, (all, primary) of each part of the histories, in any unit."""
    middle = (0.0, 0.0, BEGINS + thickness / 2)
    parts = [common.cylinder("filter", "aluminium" if thickness else "air", middle, 20.0, thickness or 1.0)]
    world = ((-30.0, -30.0, 0.0), (30.0, 30.0, DISTANCE))  # which photons leave through the disc's plane
    source = common.cone(beam, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 2 * math.atan2(RADIUS, DISTANCE))
    tally = [transport.PhaseSpace()]
    return np.array([_through(r["phase space"]) for r in common.results(world, parts, source, given, tally)]).T


def _through(photons: transport.PhaseSpaceResult) -> tuple[float, float]:
    """Kerma of photons through the disc per history."""
    x, y, z = photons.position.T
    hit = (z > DISTANCE - 1e-3) & (np.hypot(x, y) < RADIUS)
    energy = photons.energy[hit].astype(float)
    absorbed = energy * common.material("air").mass_attenuation(energy, "energy_absorption")
    each = photons.weight[hit] * absorbed / np.abs(photons.direction[hit, 2])
    return each.sum() / photons.n_histories, each[photons.primary[hit]].sum() / photons.n_histories


def main() -> None:
    """Print the ratios."""
    given = common.options(__doc__)
    for name, layers in LAYERS.items():
        beam = common.beam(name, given)
        (bare, bare_primary), *behind = (kerma(beam, thickness, given) for thickness in (0.0, *layers))
        table = common.Table(f"case 1, {name}", "kerma relative to no filter", given)
        for label, (total, primary) in zip(("R1, half-value layer", "R2, quarter-value layer"), behind, strict=True):
            table.add(label, *(total / bare))
            table.add(f"{label}, primary", *(primary / bare_primary))
        table.show()


if __name__ == "__main__":
    main()
