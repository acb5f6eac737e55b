"""The dose of a scan: what its photons leave, in Gy, whichever views they come from."""

import numpy as np
import pytest

from spinray import ct, transport
from spinray.errors import DtypeError, InputError
from spinray.grid import Grid
from spinray.transport.dose import GY_PER_KEV_PER_G

SOD, SDD = 540.0, 950.0
TUBE = transport.Spectrum.tube(120, {"Al": 7.0})
BOWTIE = transport.Bowtie("Al", [-0.3, 0.0, 0.3], [20.0, 1.0, 20.0])


def scan(n_views=36, n_cols=256):
    angles = np.linspace(0, 2 * np.pi, n_views, endpoint=False)
    return ct.FanBeam(Grid((8, 8)), angles, n_cols, 4.0, SOD, SDD, "curved")


def cylinder(radius=70.0, step=5.0):
    """Acrylic about z, with a heavier rod in it at +x."""
    n = round(2 * radius / step) + 2
    grid = Grid((6, n, n), (10.0, step, step))
    _, y, x = np.meshgrid(*grid.axes(), indexing="ij")
    labels = (np.hypot(x, y) < radius).astype(int)
    labels[np.hypot(x - 40, y) < 12] = 2
    return transport.VoxelPhantom(grid, ["vacuum", "PMMA", "cortical bone"], labels)


def test_free_in_air_the_kerma_on_the_axis_is_that_of_the_tube():
    grid = Grid((3, 3, 3), 10.0)
    air = transport.VoxelPhantom(grid, ["air"], np.zeros(grid.shape, int))
    found = ct.dose(scan(n_cols=16), air, TUBE, mas=80, thickness=40.0, n_histories=200_000)
    energy_transfer = transport.Material("air").mass_attenuation(TUBE.energies, "energy_transfer") * 100  # mm2/g
    fluence = 80 * TUBE.photons_per_mas * TUBE.weights / SOD**2
    expected = float((fluence * TUBE.energies * energy_transfer).sum()) * GY_PER_KEV_PER_G
    assert found.std_error[1, 1, 1] < 0.02 * expected
    assert found.mean[1, 1, 1] == pytest.approx(expected, abs=4 * found.std_error[1, 1, 1])
    assert 4e-3 < expected / 80 * 100 * (SOD / 1000) ** 2 < 12e-3  # Gy per 100 mAs in 1 m, of a usual tube


def test_a_scan_is_the_sum_of_its_views():
    A, phantom = scan(4), cylinder()
    whole = ct.dose(A, phantom, TUBE, mas=4, thickness=20.0, bowtie=BOWTIE, n_histories=200_000, seed=1)
    parts = [
        ct.dose(A[k], phantom, TUBE, mas=1, thickness=20.0, bowtie=BOWTIE, n_histories=50_000, seed=2 + k)
        for k in range(4)
    ]
    assert np.ptp([part.mean[3, 15, 27] for part in parts]) > 0.5 * whole.mean[3, 15, 27]  # they are not alike
    error = np.sqrt(whole.std_error**2 + sum(part.std_error**2 for part in parts))
    lit = whole.relative_error < 0.2
    z = (whole.mean - sum(part.mean for part in parts))[lit] / error[lit]
    assert lit.sum() > 1000
    assert abs(z.mean()) < 0.15  # cells of a history are not independent
    assert 0.8 < z.std() < 1.2


def test_dose_is_proportional_to_mas():
    one, two = (ct.dose(scan(), cylinder(), TUBE, mas=mas, thickness=10.0, n_histories=5_000) for mas in (50, 100))
    np.testing.assert_allclose(two.mean, 2 * one.mean, rtol=1e-12)
    np.testing.assert_allclose(two.std_error, 2 * one.std_error, rtol=1e-12)


def test_a_rotation_doses_a_cylinder_alike_on_all_sides_and_most_outside():
    grid = Grid((3, 40, 40), (20.0, 5.0, 5.0))
    _, y, x = np.meshgrid(*grid.axes(), indexing="ij")
    r = np.hypot(x, y)
    phantom = transport.VoxelPhantom(grid, ["vacuum", "PMMA"], (r < 95).astype(int))
    found = ct.dose(scan(360), phantom, TUBE, mas=100, thickness=20.0, n_histories=300_000)
    ring = (r[1] > 70) & (r[1] < 90)
    sides = [found.mean[1][ring & side].mean() for side in (x[1] > abs(y[1]), y[1] > abs(x[1]), -x[1] > abs(y[1]))]
    assert np.ptp(sides) < 0.02 * np.mean(sides)
    assert 1.5 < np.mean(sides) / found.mean[1][r[1] < 20].mean() < 3.0


def test_what_is_left_and_what_leaves_is_what_came():
    phantom, A = cylinder(), scan()
    found = ct.dose(A, phantom, TUBE, mas=1, thickness=20.0, bowtie=BOWTIE, n_histories=200_000)
    source = transport.FanBeam(A, TUBE, thickness=20.0, bowtie=BOWTIE)
    left = transport.simulate(phantom, source, 200_000, [transport.PhaseSpace()])["phase space"]
    came = source.sample(200_000)[2].mean()
    deposited = found.energy.sum() / source.photons_per_mas
    assert deposited + left.energy.sum() / 200_000 == pytest.approx(came, rel=0.005)
    assert deposited > 0.1 * came


def test_a_cone_beam_has_its_rows():
    A = ct.ConeBeam(Grid((8, 8, 8)), [0.0, np.pi], (8, 128), (10.0, 8.0), SOD, SDD, "curved")
    found = ct.dose(A, cylinder(), TUBE, mas=10, n_histories=20_000)
    fan = ct.dose(scan(2), cylinder(), TUBE, mas=10, thickness=80 * SOD / SDD, n_histories=20_000)
    assert found.energy.sum() == pytest.approx(fan.energy.sum(), rel=0.02)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"thickness": None}, InputError, "thickness"),
        ({"thickness": 0.0}, InputError, "thickness"),
        ({"spectrum": 60.0}, InputError, "Spectrum.tube"),
        ({"mas": -1.0}, InputError, "mas"),
        ({"A": ct.ParallelBeam(Grid((8, 8)), [0.0], 8)}, DtypeError, "ParallelBeam"),
        ({"A": ct.ConeBeam(Grid((8, 8, 8)), [0.0], (8, 8), 4.0, SOD, SDD)}, InputError, "rows"),
        ({"bowtie": 3}, DtypeError, "bowtie"),
    ],
)
def test_bad_input_is_told(change, error, says):
    given = {"A": scan(4), "phantom": cylinder(), "spectrum": TUBE, "mas": 10.0, "thickness": 10.0} | change
    with pytest.raises(error, match=says):
        ct.dose(**given, n_histories=100)
