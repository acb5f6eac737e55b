"""Case 2: radiography and one projection of tomosynthesis through a block of soft tissue.

The block is 390 x 390 x 200 mm, its near face 1550 mm from the plane of the source; the detector, 390 x 390 mm, lies
1800 mm from it, and the beam fills it. In the tomosynthesis projection the source has moved along -y within its plane
until the line to the middle of the detector makes 15 degrees with the detector's normal. Scored is the energy deposited
in the block and in nine cubes of 30 mm: 1 to 5 at half depth (y = -150, x = -150, middle, x = 150, y = 150), 6 to 9 on
the axis, 60 and 30 mm nearer the source and 30 and 60 mm farther from it. Air is around everything.

Scored too is the energy of photons that pass through regions of the detector, by what happened to them.

The geometry, tissue and cubes were taken from memory of the report and agree with the validation programme of another
code, which has no regions of the detector: that these are 30 mm squares opposite the cubes is OURS, not known to be the
report's. Put its own into REGIONS.
"""

from __future__ import annotations

import math

import common

HALF, NEAR, THICK, PLANE, CUBE = 195.0, 1550.0, 200.0, 1800.0, 30.0
#: centres of the cubes, mm from the block's
CUBES = {
    "VOI 1": (0.0, -150.0, 0.0),
    "VOI 2": (-150.0, 0.0, 0.0),
    "VOI 3": (0.0, 0.0, 0.0),
    "VOI 4": (150.0, 0.0, 0.0),
    "VOI 5": (0.0, 150.0, 0.0),
    "VOI 6": (0.0, 0.0, -60.0),
    "VOI 7": (0.0, 0.0, -30.0),
    "VOI 8": (0.0, 0.0, 30.0),
    "VOI 9": (0.0, 0.0, 60.0),
}
REGIONS = {
    "detector": (-HALF, -HALF, HALF, HALF),
    **{f"region at ({x:g}, {y:g})": common.square(x, y, CUBE) for x, y, z in CUBES.values() if z == 0},
}
ANGLES = {"radiography": 0.0, "tomosynthesis": math.radians(15.0)}


def block() -> list[common.Part]:
    """The block with its cubes, which lie in it."""
    low = (-HALF, -HALF, NEAR)
    parts = [common.box("rest of the block", "soft tissue", low, (HALF, HALF, NEAR + THICK))]
    for name, (x, y, z) in CUBES.items():
        parts.append(common.cube(name, "soft tissue", (x, y, z + NEAR + THICK / 2), (CUBE, CUBE, CUBE)))
    return parts


def main() -> None:
    """Print eV per photon."""
    given = common.options(__doc__)
    # With the source in it, since air attenuates by 3 %, and with the detector as its face.
    world = ((-600.0, -600.0, -10.0), (600.0, 600.0, PLANE))
    for name in ("56.4 keV", "120 kVp"):
        beam = common.beam(name, given)
        for how, angle in ANGLES.items():
            at = (0.0, -PLANE * math.tan(angle), 0.0)
            source = common.onto(beam, at, ((-HALF, -HALF, PLANE), (HALF, HALF, PLANE)))
            scored = common.run(world, block(), source, given, PLANE, REGIONS)
            table = common.Table(f"case 2, {how}, {name}", "eV per photon", given)
            table.add("block", *scored.energy("rest of the block", *CUBES))
            for cube in CUBES:
                table.add(cube, *scored.energy(cube))
            table.add_regions(scored, REGIONS)
            table.show()


if __name__ == "__main__":
    main()
