"""Cone beam against RTK's Joseph filters and its FDK.

RTK turns about its y axis: spinray's (x, y, z) is its (x, -z, y). Inside the volume both are the same sums, equal
to single precision; RTK clips rays at the outermost voxel centres where spinray ramps to zero, so the test volume
keeps an empty border of two voxels.
"""

import warnings

import numpy as np
import pytest

import spinray

# ITK loads its modules at first use, and a warning of theirs turned into an error kills the interpreter
pytestmark = pytest.mark.filterwarnings("ignore")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    itk = pytest.importorskip("itk", reason="the peer itk-rtk is not installed")
    if not hasattr(itk, "RTK"):
        pytest.skip("the peer itk-rtk is not installed", allow_module_level=True)
    RTK, IMAGE = itk.RTK, itk.Image[itk.F, 3]

SHAPE, SPACING = (15, 18, 21), (1.1, 0.9, 1.3)
DETECTOR, PITCH = (17, 26), (1.9, 2.3)
SOD, SDD = 60.0, 95.0
ANGLES = np.random.default_rng(2).uniform(0, 2 * np.pi, 11)
OFFSETS = [(0.0, 0.0), (1.7, -4.2)]


def rtk_image(array: np.ndarray, spacing: tuple[float, ...], offset: tuple[float, ...] = (0.0, 0.0, 0.0)):
    """ITK image of an array (k, j, i) centred at `offset`; spacing and offset in (i, j, k) order."""
    out = itk.image_from_array(np.ascontiguousarray(array, dtype=np.float32))
    out.SetSpacing(spacing)
    sizes = reversed(array.shape)
    out.SetOrigin([o - (n - 1) / 2 * s for n, s, o in zip(sizes, spacing, offset, strict=True)])
    return out


def rtk_volume(volume: np.ndarray):
    dz, dy, dx = SPACING
    return rtk_image(volume.transpose(1, 0, 2)[::-1], (dx, dz, dy))


def rtk_projections(projections: np.ndarray, detector_offset: tuple[float, float]):
    return rtk_image(projections, (PITCH[1], PITCH[0], 1.0), (detector_offset[1], detector_offset[0], 0.0))


def run(work, target, source, angles=ANGLES) -> np.ndarray:
    """What an RTK filter makes of `target`, to which it adds, and `source`."""
    geometry = RTK.ThreeDCircularProjectionGeometry.New()
    for angle in np.rad2deg(angles):
        geometry.AddProjection(SOD, SDD, float(angle))
    work.SetInput(0, target)
    work.SetInput(1, source)
    work.SetGeometry(geometry)
    work.Update()
    return itk.array_from_image(work.GetOutput())


def operator(detector_offset: tuple[float, float]):
    return spinray.ct.ConeBeam(
        spinray.Grid(SHAPE, SPACING), ANGLES, DETECTOR, PITCH, SOD, SDD, detector_offset=detector_offset
    )


def bordered_noise() -> np.ndarray:
    volume = np.zeros(SHAPE, np.float32)
    inner = tuple(slice(2, n - 2) for n in SHAPE)
    volume[inner] = np.random.default_rng(3).uniform(size=[n - 4 for n in SHAPE])
    return volume


@pytest.mark.parametrize("detector_offset", OFFSETS)
def test_projection_is_joseph_of_rtk(detector_offset):
    volume, A = bordered_noise(), operator(detector_offset)
    joseph = RTK.JosephForwardProjectionImageFilter[IMAGE, IMAGE].New()
    empty = rtk_projections(np.zeros(A.range_shape), detector_offset)
    expected = run(joseph, empty, rtk_volume(volume))
    np.testing.assert_allclose(A(volume), expected, rtol=0, atol=2e-5 * expected.max())


@pytest.mark.parametrize("detector_offset", OFFSETS)
def test_adjoint_is_back_projection_of_rtk(detector_offset):
    A = operator(detector_offset)
    projections = np.random.default_rng(4).normal(size=A.range_shape).astype(np.float32)
    joseph = RTK.JosephBackProjectionImageFilter[IMAGE, IMAGE].New()
    back = run(joseph, rtk_volume(np.zeros(SHAPE)), rtk_projections(projections, detector_offset))
    expected = back[::-1].transpose(1, 0, 2)
    inner = tuple(slice(2, n - 2) for n in SHAPE)
    np.testing.assert_allclose(A.adjoint(projections)[inner], expected[inner], rtol=0, atol=2e-5 * expected.max())


def test_fbp_is_fdk_of_rtk():
    """On a detector that sees the whole volume; each view weighs the arc half-way to its neighbours."""
    detector = (27, 36)
    angles = np.sort(np.deg2rad(np.arange(0, 360, 9) + np.random.default_rng(5).uniform(-3, 3, 40)))
    projections = np.random.default_rng(6).normal(size=(len(angles), *detector)).astype(np.float32)
    fdk = RTK.FDKConeBeamReconstructionFilter[IMAGE].New()
    back = run(fdk, rtk_volume(np.zeros(SHAPE)), rtk_projections(projections, (0.0, 0.0)), angles)
    expected = back[::-1].transpose(1, 0, 2)
    A = spinray.ct.ConeBeam(spinray.Grid(SHAPE, SPACING), angles, detector, PITCH, SOD, SDD)
    np.testing.assert_allclose(spinray.ct.fbp(A, projections), expected, rtol=0, atol=2e-5 * expected.max())
