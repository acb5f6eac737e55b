"""CT dose index: the standard phantoms, and readings as scanners have them."""

import math

import numpy as np
import pytest

from spinray import ct
from spinray.errors import DtypeError, InputError
from spinray.grid import Grid
from spinray.transport import Bowtie, ConeBeam, FanBeam, PointSource, Spectrum, ctdi, ctdi_phantom

SOD, SDD = 540.0, 950.0
TUBE = Spectrum.tube(120, {"Al": 7.0})


def scan():
    angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    return ct.FanBeam(Grid((8, 8)), angles, 310, 2.0, SOD, SDD, "curved")


def bowtie():
    """Makes up for half of what a ray misses of the body phantom."""
    angles = np.linspace(-0.32, 0.32, 65)
    missed = 320 - 2 * np.sqrt(np.maximum(160**2 - (SOD * np.sin(angles)) ** 2, 0))
    return Bowtie("PMMA", angles, 1.0 + 0.5 * missed)


@pytest.fixture(scope="module")
def found():
    beam = FanBeam(scan(), TUBE, thickness=10.0, bowtie=bowtie())
    return {kind: ctdi(beam, kind, n_histories=250_000) for kind in ("head", "body")}


@pytest.mark.parametrize(("kind", "radius"), [("head", 80.0), ("body", 160.0)])
def test_a_phantom_is_acrylic_with_a_chamber_of_air(kind, radius):
    phantom = ctdi_phantom(kind, "left")
    chamber = math.pi * 6.55**2 * 100
    assert phantom.volumes[1] == pytest.approx(chamber)
    assert phantom.masses[1] == pytest.approx(chamber * 1.205e-6)
    assert phantom.masses[0] == pytest.approx(1.19e-3 * (math.pi * radius**2 * 150 - chamber))
    assert phantom.solids[1].centre == pytest.approx((10 - radius, 0.0, 0.0))


def test_the_periphery_of_the_body_gets_twice_the_dose_of_its_centre_and_that_of_the_head_the_same(found):
    # McNitt-Gray 2002, "Topics in CT: radiation dose in CT", RadioGraphics 22, 1541; AAPM report 96, section 3.
    assert 0.95 < found["head"].periphery / found["head"].centre < 1.25
    assert 1.7 < found["body"].periphery / found["body"].centre < 2.4


def test_readings_are_those_of_scanners(found):
    # Of scanners of 120 kV, mGy per 100 mAs: ImPACT, CTDosimetry 1.0.4.
    assert 12e-3 < found["head"].weighted < 25e-3
    assert 5e-3 < found["body"].weighted < 12e-3
    for one in found.values():
        assert one.weighted_std_error < 0.05 * one.weighted
        assert one.weighted == pytest.approx((one.centre + 2 * one.periphery) / 3)


def test_a_filter_alike_everywhere_leaves_the_rim_of_the_body_more():
    flat = ctdi(FanBeam(scan(), TUBE, thickness=10.0), "body", n_histories=100_000)
    assert flat.periphery / flat.centre > 2.8


def test_the_index_hardly_depends_on_the_width_of_the_beam(found):
    wide = ctdi(FanBeam(scan(), TUBE, thickness=20.0, bowtie=bowtie()), "head", n_histories=200_000)
    assert wide.width == pytest.approx(20.0)
    assert wide.centre == pytest.approx(found["head"].centre, rel=0.08)  # two to three standard errors
    assert wide.weighted == pytest.approx(found["head"].weighted, rel=0.04)


def test_a_cone_beam_is_as_wide_as_its_rows_on_the_axis_and_mas_scale():
    rows = ct.ConeBeam(Grid((8, 8, 8)), scan().angles, (16, 310), (20 / 16 * SDD / SOD, 2.0), SOD, SDD, "curved")
    cone = ctdi(ConeBeam(rows, TUBE), "head", 200.0, n_histories=100_000)
    fan = ctdi(FanBeam(scan(), TUBE, thickness=20.0), "head", n_histories=100_000)
    assert cone.width == pytest.approx(fan.width)
    assert cone.weighted == pytest.approx(2 * fan.weighted, rel=0.03)


def test_bad_input_is_told():
    beam = FanBeam(scan(), TUBE, thickness=10.0)
    with pytest.raises(InputError, match="kind"):
        ctdi_phantom("child")
    with pytest.raises(InputError, match="chamber"):
        ctdi_phantom("head", "middle")
    with pytest.raises(InputError, match="photons_per_mas"):
        ctdi(FanBeam(scan(), 60.0, thickness=10.0), "head")
    with pytest.raises(InputError, match="thickness"):
        ctdi(FanBeam(scan(), TUBE, thickness=0.0), "head")
    with pytest.raises(InputError, match="mas"):
        ctdi(beam, "head", 0.0)
    with pytest.raises(DtypeError, match="PointSource"):
        ctdi(PointSource((0, 0, -500), TUBE), "head")
