"""Case 2: radiography and one projection of tomosynthesis through a block of soft tissue.

The block is 390 x 390 x 200 mm, its near face 1550 mm from the plane of the source; the detector, 390 x 390 mm, lies
1800 mm from it, and the beam fills it. In the tomosynthesis projection the source has moved along -y within its plane
until the line to the middle of the detector makes 15 degrees with the detector's normal. Scored is the energy deposited
in the block and in nine cubes of 30 mm: 1 to 5 at half depth (y = -150, x = -150, middle, x = 150, y = 150), 6 to 9 on
the axis, 60 and 30 mm nearer the source and 30 and 60 mm farther from it. Air is around everything.

Scored too is the energy of photons that pass through the detector and seven regions of it, 30 x 30 mm, by what happened
to them; and all of this once more for a pencil beam to the middle of the detector, with regions of its own.

The geometry, tissue and cubes were taken from memory of the report and agree with the validation programme of another
code. The regions are those of one other public programme, which carries the report's electronic resources: MIDSX
(arXiv:2311.16873), cpp_simulations/radiography in jmeneghini/MIDSX on GitHub. Nothing was checked against the report's
own pages. At 15 degrees that programme has the regions of the full field where they are at 0 degrees, 1 to 4 on the
source's side, and does not run the pencil beam: that this is then aimed at the middle of the detector, with its regions
about that, is an ASSUMPTION.
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


def regions(*centres: tuple[float, float]) -> dict[str, common.Region]:
    """The detector, and regions of it about these points."""
    rois = {f"ROI {i}": common.square(x, y, CUBE) for i, (x, y) in enumerate(centres, 1)}
    return {"detector": (-HALF, -HALF, HALF, HALF), **rois}


REGIONS = {
    "full field": regions((-180, -180), (0, -180), (-90, -90), (0, -90), (0, 0), (90, 90), (180, 180)),
    "pencil beam": regions((-60, -60), (0, -60), (-30, -30), (0, -30), (0, 0), (30, 30), (60, 60)),
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
            sources = {
                "full field": common.onto(beam, at, ((-HALF, -HALF, PLANE), (HALF, HALF, PLANE))),
                "pencil beam": common.pencil(beam, at, (0.0, 0.0, PLANE)),
            }
            for field, source in sources.items():
                scored = common.run(world, block(), source, given, PLANE, REGIONS[field])
                table = common.Table(f"case 2, {how}, {field}, {name}", "eV per photon", given)
                table.add("block", *scored.energy("rest of the block", *CUBES))
                for cube in CUBES:
                    table.add(cube, *scored.energy(cube))
                table.add_regions(scored, REGIONS[field])
                table.show()


if __name__ == "__main__":
    main()
