"""Case 3: mammography and one projection of breast tomosynthesis.

The breast is half a cylinder, 100 mm radius and 50 mm thick, its flat side at x = 0 on the body; skin 2 mm thick covers
it except there, around tissue of 20 % gland and 80 % fat. It lies between plates of acrylic, 140 x 260 x 2 mm; the body
is water, 170 x 300 x 300 mm. The detector, 140 x 260 mm from x = 0, lies 15 mm under the breast, and the source 660 mm
above the detector, over the chest wall; the beam fills the detector. In the tomosynthesis projection the source has
turned by 15 degrees about the x axis through the middle of the breast (z = 0 here), towards -y. Scored is the energy
deposited in the breast's tissue (skin left out) and in seven boxes of 20 x 20 x 10 mm, and the energy of photons that
pass through regions of the detector, by what happened to them. Air is around everything.

The geometry was taken from memory of the report and agrees with the validation programme of another code, from which
come the centre of the rotation and how the tissue is mixed (0.2 and 0.8 by weight, density 0.2 x 1.04 + 0.8 x 0.93).
It has no regions of the detector, and no other public source of them was found: that these are 20 mm squares below the
boxes is OURS, not known to be the report's. Put its own into REGIONS.
"""

from __future__ import annotations

import math

import common

RADIUS, HALF, SKIN, PLATE = 100.0, 25.0, 2.0, 2.0
PLANE = -HALF - 15.0
HEIGHT = 660.0
#: centres of the boxes, mm
BOXES = {
    "VOI 1": (50.0, 50.0, 0.0),
    "VOI 2": (20.0, 0.0, 0.0),
    "VOI 3": (50.0, 0.0, 0.0),
    "VOI 4": (80.0, 0.0, 0.0),
    "VOI 5": (50.0, -50.0, 0.0),
    "VOI 6": (50.0, 0.0, -15.0),
    "VOI 7": (50.0, 0.0, 15.0),
}
DETECTOR = (0.0, -130.0, 140.0, 130.0)
REGIONS = {
    "detector": DETECTOR,
    **{f"region at ({x:g}, {y:g})": common.square(x, y, 20.0) for x, y, z in BOXES.values() if z == 0},
}
ANGLES = {"mammography": 0.0, "tomosynthesis": math.radians(15.0)}


def breast() -> list[common.Part]:
    """Breast, body and plates; what comes later lies in what came before."""
    middle = (0.0, 0.0, 0.0)
    parts = [
        common.cylinder("skin", "skin", middle, RADIUS, 2 * HALF),
        common.cylinder("rest of the tissue", "breast", middle, RADIUS - SKIN, 2 * (HALF - SKIN)),
        common.box("body", "water", (-170.0, -150.0, -150.0), (0.0, 150.0, 150.0)),
    ]
    for name, low in (("upper plate", HALF), ("lower plate", -HALF - PLATE)):
        parts.append(common.box(name, "acrylic", (0.0, -130.0, low), (140.0, 130.0, low + PLATE)))
    parts += [common.cube(name, "breast", at, (20.0, 20.0, 10.0)) for name, at in BOXES.items()]
    return parts


def main() -> None:
    """Print eV per photon."""
    given = common.options(__doc__)
    # With the source in it; for what arrives it ends at the detector, though the body goes on.
    whole, above = (((-300.0, -300.0, low), (300.0, 300.0, PLANE + HEIGHT + 10.0)) for low in (-155.0, PLANE))
    for name in ("16.8 keV", "30 kVp"):
        beam = common.beam(name, given)
        for how, angle in ANGLES.items():
            reach = PLANE + HEIGHT
            at = (0.0, -reach * math.sin(angle), reach * math.cos(angle))
            x0, y0, x1, y1 = DETECTOR
            source = common.onto(beam, at, ((x0, y0, PLANE), (x1, y1, PLANE)))
            scored = common.run(whole, breast(), source, given)
            arrived = common.run(above, breast(), source, given, PLANE, REGIONS)
            table = common.Table(f"case 3, {how}, {name}", "eV per photon", given)
            table.add("tissue", *scored.energy("rest of the tissue", *BOXES))
            for box in BOXES:
                table.add(box, *scored.energy(box))
            table.add_regions(arrived, REGIONS)
            table.show()


if __name__ == "__main__":
    main()
