"""The system phantom: spheres where NIST has them, of the times NIST has measured."""

import math

import numpy as np
import pytest

from spinray import Grid
from spinray.errors import DtypeError, InputError
from spinray.phantoms import SystemPhantom

# Typed from the publication, apart from the table: (array, number, field) -> T1, T2 in ms.
PUBLISHED = {
    ("T1", 1, 3.0): (1989, 1465),
    ("T1", 14, 3.0): (21.719, 15.83),
    ("T1", 7, 1.5): (260.1, 227.7),
    ("T2", 1, 3.0): (2480, 581.3),
    ("T2", 14, 3.0): (90.9, 5.592),
    ("T2", 4, 1.5): (1539, 267.0),
}


def sphere(array, number, field=3.0):
    (found,) = [s for s in SystemPhantom(field).spheres if (s.array, s.number) == (array, number)]
    return found


@pytest.mark.parametrize(("key", "times"), PUBLISHED.items())
def test_times_are_the_published_ones(key, times):
    found = sphere(*key)
    assert (found.t1, found.t2) == pytest.approx([t / 1000 for t in times])


@pytest.mark.parametrize("field", [1.5, 3.0])
def test_arrays_step_down_in_what_they_are_named_for(field):
    spheres = SystemPhantom(field).spheres
    assert len(spheres) == 42
    for array, quantity in (("T1", "t1"), ("T2", "t2")):
        values = np.array([getattr(s, quantity) for s in spheres if s.array == array])
        assert len(values) == 14
        ratios = values[:-1] / values[1:]
        assert np.exp(np.log(ratios).mean()) == pytest.approx(math.sqrt(2), rel=0.02)  # the design of the phantom
    assert [s.m0 for s in spheres if s.array == "PD"] == sorted({s.m0 for s in spheres if s.array == "PD"})
    assert all(s.t2 < s.t1 for s in spheres)


def test_the_layout_is_ten_on_a_circle_and_four_on_a_square():
    """Distances from sphere 1, measured on a phantom (imr-framework/mrf), are met within 1.5 mm."""
    measured = [0, 31.3, 58.9, 81.8, 95.9, 100.3, 96.0, 81.1, 58.9, 31.5, 35.4, 35.9, 73.1, 73.2]
    for array, y in (("T1", 56.5), ("T2", 16.5), ("PD", -23.5)):
        centres = np.array([s.centre for s in SystemPhantom().spheres if s.array == array])
        np.testing.assert_array_equal(centres[:, 1], y)
        np.testing.assert_allclose(np.linalg.norm(centres - centres[0], axis=1), measured, atol=1.5)
        between = np.linalg.norm(centres[:, None] - centres, axis=-1) + 1e3 * np.eye(14)
        assert between.min() > 15  # no two spheres touch
        assert np.linalg.norm(centres, axis=1).max() < 100 - 7.5
    # From the top to the patient's left: to the right of a radiological picture.
    assert sphere("T1", 1).centre == (0.0, 56.5, 50.0)
    assert sphere("T1", 2).centre[0] < 0
    assert sphere("T2", 11).centre == (20.0, 16.5, 20.0)
    assert sphere("T2", 13).centre == (-20.0, 16.5, -20.0)


def test_fiducials_form_the_lattice():
    centres = SystemPhantom().fiducials
    assert centres.shape == (57, 3)
    assert (np.abs(centres) % 40 == 0).all()
    assert np.linalg.norm(centres, axis=1).max() < 95
    assert len(np.unique(centres, axis=0)) == 57


def test_a_slice_holds_the_discs_of_its_array():
    maps = SystemPhantom().maps(Grid((160, 160), 0.75), "T2")
    assert len(maps.tissues) == 14
    area = math.pi * 7.5**2
    for number in range(1, 15):
        s = sphere("T2", number)
        here = maps.labels == 1 + maps.tissues.index(f"T2-{number}")
        assert maps.m0[here].sum() * 0.75**2 == pytest.approx(area, rel=2e-3)
        assert np.unique(maps.t1[here]).tolist() == [np.float32(s.t1)]
        assert np.unique(maps.t2[here]).tolist() == [np.float32(s.t2)]
        z, x = (axis[index].mean() for axis, index in zip(maps.grid.axes(), np.nonzero(here), strict=True))
        assert (x, z) == pytest.approx(s.centre[::2], abs=0.1)
    assert not maps.m0[~maps.mask].any()
    assert maps.m0.max() == pytest.approx(1.0)
    assert ((maps.m0 > 0.01) & (maps.m0 < 0.99)).any()  # voxels cut by a surface


def test_the_volume_holds_all_spheres():
    maps = SystemPhantom(1.5).maps(Grid((72, 72, 72), 1.75), supersampling=4)
    volume = 4 / 3 * math.pi * 7.5**3
    inside = [s for s in SystemPhantom(1.5).spheres if max(np.abs(s.centre)) < 55]
    assert len(inside) == 28  # the T1 array lies beyond this grid
    for s in inside:
        here = maps.labels == 1 + maps.tissues.index(f"{s.array}-{s.number}")
        assert maps.m0[here].sum() * 1.75**3 == pytest.approx(s.m0 * volume, rel=2e-2)
    alone = SystemPhantom(1.5).maps(Grid((72, 72, 72), 1.75), "PD")
    assert alone.tissues[0] == "PD-1"
    assert alone.mask.sum() < maps.mask.sum()


def test_water_fills_the_rest():
    maps = SystemPhantom().maps(Grid((110, 110), 2.0), "PD", water=True)
    radius = math.sqrt(100**2 - 23.5**2)
    discs = math.pi * 7.5**2
    expected = math.pi * radius**2 - 14 * discs + discs * sum(s.m0 for s in SystemPhantom().spheres if s.array == "PD")
    assert maps.m0.sum() * 4 == pytest.approx(expected, rel=1e-3)
    centre = maps.labels[55, 55]
    assert maps.tissues[centre - 1] == "water"
    here = (maps.labels > 0) & (maps.labels <= 14)
    assert here.sum() * 4 == pytest.approx(14 * discs, rel=0.05)  # cut voxels belong to what fills most of them
    assert {maps.tissues[k - 1] for k in np.unique(maps.labels) if k} == {"water", *(f"PD-{n}" for n in range(1, 15))}
    body = SystemPhantom().maps(Grid((55, 55, 55), 4.0), water=True)
    total = 4 / 3 * math.pi * (100**3 - 42 * 7.5**3)
    total += 4 / 3 * math.pi * 7.5**3 * sum(s.m0 for s in SystemPhantom().spheres)
    assert body.m0.sum() * 64 == pytest.approx(total, rel=2e-3)
    assert body.m0.max() <= 1 + 1e-6


def test_oblique_grids_will_do():
    turn = math.radians(30)
    direction = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
    straight = SystemPhantom().maps(Grid((140, 140), 1.0), "T1")
    grid = Grid((140, 140), 1.0, direction=direction)
    turned = SystemPhantom().maps(grid, "T1")
    assert turned.m0.sum() == pytest.approx(straight.m0.sum(), rel=1e-3)
    x, z = 0.0, 50.0
    i, j = np.linalg.solve(np.array(direction), [x, z]) + 69.5
    assert turned.t1[round(j), round(i)] == np.float32(1.989)


def test_bad_arguments_are_named():
    with pytest.raises(InputError, match=r"field: expected one of 1.5, 3.0 T, got 7.0"):
        SystemPhantom(7.0)
    with pytest.raises(InputError, match="array: expected 'T1', 'T2' or 'PD' for a 2-D grid"):
        SystemPhantom().maps(Grid((8, 8)))
    with pytest.raises(InputError, match="array"):
        SystemPhantom().maps(Grid((8, 8)), "T3")
    with pytest.raises(DtypeError, match="grid"):
        SystemPhantom().maps((8, 8), "T1")
