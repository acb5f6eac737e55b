"""Case 4: CT of an acrylic cylinder, 320 mm across and 3000 mm long.

The source turns about the cylinder's axis (z) at 600 mm; its fan covers the 320 mm of the cylinder at the axis, 10 or
80 mm of z there. Part 1, one projection: energy deposited in the slices of 10 mm (all of the cross section) centred at
z = 0, 10, 20 and 30 mm. Part 2, projections every 10 degrees: energy deposited in two rods of acrylic, 10 mm across and
100 mm long, one on the axis and one with its axis 150 mm from it, on the side of the source at 0 degrees; scored along
flights, since few photons interact in so small a rod. Air is around everything.

The geometry was taken from memory of the report and agrees with the validation programme of another code; that the fan
is that wide in the plane of the axis, and not at the cylinder's surface, is from there alone.
"""

from __future__ import annotations

import math

import common
import numpy as np

RADIUS, LENGTH, DISTANCE, ROD, OUT = 160.0, 3000.0, 600.0, 5.0, 150.0
SLICES = {"VOI 1": 0.0, "VOI 2": 10.0, "VOI 3": 20.0, "VOI 4": 30.0}
RODS = {"centre": 0.0, "periphery": -OUT}
WIDTHS = (10.0, 80.0)


def sliced() -> list[common.Part]:
    """The cylinder with its slices."""
    middle = (0.0, 0.0, 0.0)
    parts = [common.cylinder("rest of the cylinder", "acrylic", middle, RADIUS, LENGTH)]
    for name, z in SLICES.items():
        parts.append(common.cylinder(name, "acrylic", (0.0, 0.0, z), RADIUS, 10.0))
    return parts


def rodded() -> list[common.Part]:
    """The cylinder with its rods."""
    parts = [common.cylinder("rest of the cylinder", "acrylic", (0.0, 0.0, 0.0), RADIUS, LENGTH)]
    return parts + [common.cylinder(name, "acrylic", (x, 0.0, 0.0), ROD, 100.0) for name, x in RODS.items()]


def fan(beam: common.Beam, width: float, angle: float) -> object:
    """The source turned by `angle` from -x, and its fan."""
    at = (-DISTANCE * math.cos(angle), -DISTANCE * math.sin(angle), 0.0)
    return common.fan(beam, at, (0.0, 0.0, 0.0), (2 * RADIUS, width))


def main() -> None:
    """Print eV per photon."""
    given = common.options(__doc__)
    world = ((-601.0, -601.0, -LENGTH / 2), (601.0, 601.0, LENGTH / 2))
    for name in ("56.4 keV", "120 kVp"):
        beam = common.beam(name, given)
        for width in WIDTHS:
            scored = common.run(world, sliced(), fan(beam, width, 0.0), given)
            table = common.Table(f"case 4, one projection, {width:g} mm, {name}", "eV per photon", given)
            for slice_ in SLICES:
                table.add(slice_, *scored.energy(slice_))
            table.show()
        for width in WIDTHS:
            table = common.Table(f"case 4, rods, {width:g} mm, {name}", "eV per photon", given)
            found = []
            for degrees in range(0, 360, 10):
                source = fan(beam, width, math.radians(degrees))
                scored = common.run(world, rodded(), source, given, estimator="track_length")
                found.append([scored.energy(rod) for rod in RODS])
                for rod, energy in zip(RODS, found[-1], strict=True):
                    table.add(f"{rod}, {degrees} degrees", *energy)
            for rod, mean in zip(RODS, np.mean(found, axis=0), strict=True):
                table.add(f"{rod}, mean of all", *mean)
            table.show()


if __name__ == "__main__":
    main()
