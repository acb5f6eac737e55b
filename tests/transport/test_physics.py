"""Photon transport as a whole: closed forms first, then two independent codes, then published values.

Stored numbers marked "independent" come from `independent.py` beside this file (4e6 histories, cross sections of
xraylib 4.3.0, own sampling in double precision), those marked "ompmc" from ompmc 0.4.0 (8 runs of 5e5 histories, XCOM
cross sections, electrons stopped on the spot, photons below 10 keV too). Standard errors are given with both.
"""

import functools

import numpy as np
import pytest

import spinray
from published import ATTENUATION
from spinray import transport

# Five standard errors: with some hundred comparisons of fixed seeds, nothing but a mistake goes past.
SIGMAS = 5.0

ELECTRON = 510.99895  # rest energy, keV (CODATA 2018)


def box(material, size, cells=(1, 1, 1)):
    """A homogeneous box of (z, y, x) `size` mm, its front face at z = 0, its axis along z."""
    spacing = tuple(length / n for length, n in zip(size, cells, strict=True))
    origin = (spacing[0] / 2, *(-(n - 1) / 2 * step for n, step in zip(cells[1:], spacing[1:], strict=True)))
    grid = spinray.Grid(cells, spacing, origin=origin)
    return transport.VoxelPhantom(grid, [transport.Material(material)], np.zeros(cells, np.uint8))


def pencil(energy, z=-1.0):
    return transport.PencilBeam((0.0, 0.0, z), (0.0, 0.0, 1.0), energy)


def simulate(phantom, source, n, seed=1):
    return transport.simulate(phantom, source, n_histories=n, seed=seed, progress=False)["dose"]


def needle(material, length, cells):
    """A box a micrometre wide: who scatters is gone, so what it absorbs is what first collisions leave."""
    return box(material, (length, 1e-3, 1e-3), (cells, 1, 1))


def second_moment(dose):
    """Mean of the square of what a history leaves in a box of one cell, keV^2."""
    mean, error = dose.energy.item(), dose.energy_std_error.item()
    return error**2 * (dose.n_histories - 1) + mean**2


@pytest.mark.parametrize(
    ("material", "energy", "published"), [(m, e, mu) for m, table in ATTENUATION.items() for e, mu in table.items()]
)
def test_narrow_beam_attenuates_as_published(material, energy, published):
    mu = published * transport.Material(material).density / 10
    cells, length = 30, 6 / mu
    dose = simulate(needle(material, length, cells), pencil(energy), 2_500_000, seed=energy)
    left = np.exp(-mu * np.linspace(0, length, cells + 1))
    found, error = dose.energy.ravel(), dose.energy_std_error.ravel()
    # per first collision the same everywhere: the sum gives it, the shape is the exponential
    expected = found.sum() * -np.diff(left) / (1 - left[-1])
    # mean depth, 1 / mu but for the end of the needle; its standard error is 0.07 to 0.12 %
    depth = (np.arange(cells) + 0.5) * length / cells
    assert (found @ depth) / (expected @ depth) == pytest.approx(1, abs=0.003)
    # and no more scatter about it than the errors say, 0.3 % of each cell for the tables
    z = (found - expected) / np.hypot(error, 0.003 * expected)
    assert (z**2).sum() < cells + SIGMAS * np.sqrt(2 * cells)


# Mean and mean square of the share of its energy that a photon leaves in a Compton collision with water, quadratures of
# Klein-Nishina x S(x) over the angle, S of H and O from xraylib 4.3.0; free electrons (S = 1) in brackets:
COMPTON = {
    30.0: (0.05477, 0.00405),  # (0.05204, 0.00381)
    60.0: (0.09593, 0.01272),  # (0.09363, 0.01237)
    100.0: (0.13962, 0.02724),  # (0.13800, 0.02690)
    140.0: (0.17488, 0.04287),  # (0.17367, 0.04256)
    300.0: (0.27021, 0.10149),  # (0.26965, 0.10127)
    511.0: (0.34479, 0.16204),  # (0.34448, 0.16189)
    800.0: (0.40884, 0.22266),  # (0.40866, 0.22256)
}


@pytest.mark.parametrize("energy", COMPTON)
def test_first_collisions_leave_what_klein_nishina_says(energy):
    water = transport.Material("water")
    total, photo, compton = (water.attenuation(energy, kind) for kind in ("total", "photo", "compton"))
    dose = simulate(needle("water", 40 / total, 1), pencil(energy), 1_000_000)
    mean, error = dose.energy.item() / energy, dose.energy_std_error.item() / energy
    square = second_moment(dose) / energy**2
    first, second = COMPTON[energy]
    assert mean == pytest.approx((photo + compton * first) / total, rel=5e-4, abs=SIGMAS * error)
    assert square == pytest.approx((photo + compton * second) / total, rel=2e-3, abs=2 * SIGMAS * error)


def klein_nishina(energy):
    """Mean and mean square share of the energy left with a free electron at rest, by quadrature."""
    t = np.linspace(0, 2, 20_001)
    ratio = 1 / (1 + energy / ELECTRON * t)
    density = ratio**2 * (ratio + 1 / ratio - 1 + (1 - t) ** 2)
    return [(density * (1 - ratio) ** power).sum() / density.sum() for power in (1, 2)]


def test_first_collisions_of_a_megavolt_photon_are_with_free_electrons():
    energy = 1500.0
    water = transport.Material("water")
    total, compton, pair = (water.attenuation(energy, kind) for kind in ("total", "compton", "pair"))
    dose = simulate(needle("water", 40 / total, 1), pencil(energy), 1_000_000)
    kinetic = (energy - 2 * ELECTRON) / energy
    first, second = klein_nishina(energy)
    error = dose.energy_std_error.item() / energy
    mean, square = dose.energy.item() / energy, second_moment(dose) / energy**2
    assert mean == pytest.approx((compton * first + pair * kinetic) / total, rel=5e-4, abs=SIGMAS * error)
    assert square == pytest.approx((compton * second + pair * kinetic**2) / total, rel=2e-3, abs=2 * SIGMAS * error)


def test_a_point_source_shines_by_solid_angle():
    # 4 keV photons stop within 0.1 mm of water and hardly scatter: cells count who enters their faces
    distance, side, n = 200.0, 20.0, 16
    layer = box("water", (5.0, n * side, n * side), (1, n, n))
    source = transport.PointSource((0.0, 0.0, -distance), 4.0)
    histories = 4_000_000
    dose = simulate(layer, source, histories)
    edge = (np.arange(n + 1) - n / 2) * side
    x, y = edge[None, :], edge[:, None]
    corner = np.arctan(x * y / (distance * np.sqrt(distance**2 + x**2 + y**2)))
    expected = np.diff(np.diff(corner, axis=0), axis=1) / (4 * np.pi)
    found, error = dose.energy[0] / 4.0, dose.energy_std_error[0] / 4.0
    # what scatters back or to the next cell, and the depth of 0.1 mm in 200, are 1 % at most
    assert found.sum() == pytest.approx(expected.sum(), rel=0.01)
    z = (found - expected * found.sum() / expected.sum()) / error
    assert (z**2).sum() < n * n + SIGMAS * np.sqrt(2 * n * n)


def test_twice_as_far_is_a_quarter():
    # the cone holds the square at both distances
    layer = box("water", (5.0, 20.0, 20.0))
    sources = [transport.PointSource((0.0, 0.0, -z), 4.0, "z", opening=0.3) for z in (100.0, 200.0)]
    near, far = (simulate(layer, source, 2_000_000, seed) for seed, source in enumerate(sources))
    ratio = near.energy.item() / far.energy.item()
    # of a square 20 mm wide, the solid angle at 100 mm is 0.7 % less than four times that at 200 mm
    error = ratio * np.hypot(near.relative_error.item(), far.relative_error.item())
    assert error < 0.01
    assert ratio == pytest.approx(angle(100.0) / angle(200.0), abs=4 * error)


def angle(distance, half=10.0):
    """Solid angle of a square seen from its axis."""
    return 4 * np.arcsin(half**2 / (half**2 + distance**2))


@pytest.mark.parametrize(
    ("material", "energy"), [("water", 60.0), ("water", 1250.0), ("lead", 100.0), ("lead", 3000.0)]
)
def test_every_history_leaves_all_its_energy_in_a_world_without_end(material, energy):
    # fluorescence, pairs and annihilation photons included; 50 m of water let none out
    size = 50_000.0 if material == "water" else 2_000.0
    dose = simulate(box(material, (size, size, size)), pencil(energy, z=size / 2), 20_000)
    assert dose.energy.item() == pytest.approx(energy, rel=1e-6)
    # not only on average: a spread of 1e-5 between histories would give this
    assert dose.energy_std_error.item() * np.sqrt(dose.n_histories) < 2e-5 * energy


# Shares of a pencil's energy that a 300 mm cube of water absorbs, with standard errors: independent, ompmc
CUBE = {
    60.0: ((0.68071, 0.00020), (0.68235, 0.00021)),
    140.0: ((0.57863, 0.00015), (0.57911, 0.00007)),
    511.0: ((0.63828, 0.00014), (0.63826, 0.00013)),
}


@functools.cache
def cube(energy):
    """Depth dose of a pencil in the cube, cells of 3 mm."""
    return simulate(box("water", (300.0,) * 3, (100, 100, 100)), pencil(energy), 2_000_000)


@pytest.mark.parametrize("energy", CUBE)
def test_share_absorbed_by_a_cube_of_water(energy):
    dose = cube(energy)
    found = dose.energy.sum() / energy
    for reference, error in CUBE[energy]:
        assert found == pytest.approx(reference, rel=0.005), f"reference {reference} +- {error}"


@pytest.mark.parametrize("energy", CUBE)
def test_a_pencil_hits_the_first_cells_undisturbed(energy):
    # in a column of cells on the axis nearly all energy is the first collisions', which fall as exp(-mu z)
    water = transport.Material("water")
    mu, transfer = water.attenuation(energy), water.attenuation(energy, "energy_transfer")
    dose = cube(energy)
    axis = dose.energy[:, 49:51, 49:51].sum(axis=(1, 2)) / energy
    first = transfer / mu * -np.diff(np.exp(-mu * np.linspace(0, 300, 101)))
    assert (axis[:30] > 0.99 * first[:30]).all()
    assert (axis[:5] < 1.15 * first[:5]).all()


# Shares absorbed by a slab of water 200 mm thick and by one without end, both unbounded sideways; and of the slab, what
# leaves forward without and with collisions (independent, standard errors 1e-4 to 2e-4)
SLAB = {60.0: 0.68175, 140.0: 0.58341, 511.0: 0.57822}
ALL_DEPTH = {60.0: 0.75726, 140.0: 0.76302, 511.0: 0.90470}
FORWARD = {60.0: (0.01630, 0.05956), 140.0: (0.04608, 0.13621), 511.0: (0.14679, 0.18473)}


def wide(depth):
    return box("water", (depth, 20_000.0, 20_000.0))


@pytest.mark.parametrize("energy", SLAB)
def test_share_absorbed_by_a_slab_of_water(energy):
    dose = simulate(wide(200.0), pencil(energy), 1_000_000)
    assert dose.energy.item() / energy == pytest.approx(SLAB[energy], rel=0.004)


@pytest.mark.parametrize("energy", ALL_DEPTH)
def test_backscatter_of_water(energy):
    dose = simulate(wide(10_000.0), pencil(energy), 1_000_000)
    assert 1 - dose.energy.item() / energy == pytest.approx(1 - ALL_DEPTH[energy], rel=0.01)


# Buildup about a point in water (independent, 2e6 histories), averages over shells one mean free path thick: of energy
# absorbed by water, with standard errors, and how much larger that of exposure is
MIDDLES = np.array([1.0, 4.0, 7.0, 10.0])
ABSORBED = {
    100.0: ((4.200, 37.85, 123.1, 277.0), (0.0034, 0.044, 0.41, 2.7)),
    300.0: ((2.683, 18.14, 53.96, 119.2), (0.0018, 0.018, 0.16, 1.1)),
    500.0: ((2.323, 12.27, 30.94, 59.26), (0.0015, 0.018, 0.15, 0.70)),
}
EXPOSURE = {
    100.0: (1.029, 1.052, 1.060, 1.061),
    300.0: (1.010, 1.034, 1.044, 1.040),
    500.0: (1.006, 1.024, 1.031, 1.036),
    1000.0: (1.004, 1.013, 1.016, 1.016),
}

# Geometric-progression coefficients b, c, a, X, d of exposure buildup in water, point isotropic source: ANSI/ANS-6.4.3
# (1991), as public shielding programs carry them. B(x) = 1 + (b - 1)(K^x - 1) / (K - 1), K(x) = c x^a +
# d (tanh(x / X - 2) - tanh(-2)) / (1 - tanh(-2)), x in mean free paths without coherent scattering. The standard
# scatters off free electrons and never coherently, which shows at 100 keV: at 10 mean free paths it is 10 % above
# photons that meet atoms, by this code and by the independent one. By the standard's own conventions this code agrees
# with it there as well: rust/transport/src/track/buildup.rs, 60 keV to 1 MeV.
STANDARD = {
    100.0: (4.663, 2.221, -0.186, 13.33, 0.0826),
    300.0: (2.920, 2.022, -0.164, 14.21, 0.0655),
    500.0: (2.500, 1.766, -0.135, 14.33, 0.0546),
    1000.0: (2.103, 1.441, -0.089, 14.22, 0.0378),
}


@functools.cache
def buildup(energy):
    """Of absorbed energy in the shells, and standard errors."""
    water = transport.Material("water")
    mu = water.attenuation(energy) - water.attenuation(energy, "rayleigh")
    transfer = water.attenuation(energy, "energy_transfer")
    edges = np.sort(np.concatenate([MIDDLES - 0.5, MIDDLES + 0.5, [14.0]]))
    shells = [transport.Sphere(water, x / mu, name=f"{x}") for x in edges[::-1]]
    source = transport.PointSource((0.0, 0.0, 0.0), energy)
    dose = simulate(transport.SolidPhantom(shells), source, 1_500_000)
    cells = [dose.solids.index(f"{x}") for x in MIDDLES + 0.5]
    direct = energy * transfer / mu * (np.exp(0.5 - MIDDLES) - np.exp(-0.5 - MIDDLES))
    return dose.energy[cells] / direct, dose.energy_std_error[cells] / direct


@pytest.mark.parametrize("energy", ABSORBED)
def test_buildup_about_a_point_as_the_independent_code_has_it(energy):
    found, error = buildup(energy)
    reference, spread = np.array(ABSORBED[energy])
    assert (abs(found - reference) < 0.005 * reference + 4 * np.hypot(error, spread)).all()


@pytest.mark.parametrize("energy", STANDARD)
def test_buildup_about_a_point_as_the_standard_has_it(energy):
    b, c, a, scale, d = STANDARD[energy]
    x = MIDDLES[:, None] + np.linspace(-0.5, 0.5, 201)
    k = c * x**a + d * (np.tanh(x / scale - 2) - np.tanh(-2)) / (1 - np.tanh(-2))
    published = 1 + (b - 1) * (k**x - 1) / (k - 1)
    expected = (published * np.exp(-x)).sum(axis=1) / np.exp(-x).sum(axis=1)
    exposure = buildup(energy)[0] * EXPOSURE[energy]
    alike = 3 if energy == 100 else 4
    assert exposure[:alike] == pytest.approx(expected[:alike], rel=0.05)
    assert exposure[alike:] == pytest.approx(0.906 * expected[alike:], rel=0.05)


@functools.cache
def through(energy):
    """A slab of water 200 mm thick and the photons that leave it."""
    tallies = [transport.Dose(), transport.PhaseSpace()]
    return transport.simulate(wide(200.0), pencil(energy), 500_000, tallies, seed=2)


@pytest.mark.parametrize("energy", FORWARD)
def test_scatter_to_primary_behind_a_slab_of_water(energy):
    left = through(energy)["phase space"]
    forward = left.direction[:, 2] > 0
    primary = left.energy[forward & left.primary].sum() / energy / left.n_histories
    scatter = left.energy[forward & ~left.primary].sum() / energy / left.n_histories
    direct = np.exp(-200 * transport.Material("water").attenuation(energy))
    assert primary == pytest.approx(direct, abs=SIGMAS * np.sqrt(direct / left.n_histories))
    # of a pencil, all that comes out: by reciprocity the ratio on the axis of a field without end
    known = FORWARD[energy]
    assert scatter / direct == pytest.approx(known[1] / known[0], rel=0.015)


@pytest.mark.parametrize("energy", FORWARD)
def test_what_stays_and_what_leaves_is_all_there_was(energy):
    result = through(energy)
    kept, gone = result["dose"].energy.sum(), result["phase space"].energy.sum() / result.n_histories
    assert kept + gone == pytest.approx(energy, rel=1e-6)
