"""The Shepp-Logan head, in the plane and in space."""

from __future__ import annotations

import math
from typing import Any, Literal

from .. import _checks
from .composite import Phantom
from .shapes import Ellipse, Ellipsoid

__all__ = ["shepp_logan"]

# Half axes (a, b), centre (x, y), angle in degrees, grey level. Kak & Slaney 1988, p. 55.
_PLANE = [
    (0.69, 0.92, 0.0, 0.0, 0, 2.0),
    (0.6624, 0.874, 0.0, -0.0184, 0, -0.98),
    (0.11, 0.31, 0.22, 0.0, -18, -0.02),
    (0.16, 0.41, -0.22, 0.0, 18, -0.02),
    (0.21, 0.25, 0.0, 0.35, 0, 0.01),
    (0.046, 0.046, 0.0, 0.1, 0, 0.01),
    (0.046, 0.046, 0.0, -0.1, 0, 0.01),
    (0.046, 0.023, -0.08, -0.605, 0, 0.01),
    (0.023, 0.023, 0.0, -0.605, 0, 0.01),
    (0.023, 0.046, 0.06, -0.605, 0, 0.01),
]
# Grey levels of Toft 1996, p. 199.
_PLANE_MODIFIED = [1.0, -0.8, -0.2, -0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]

# Half axes (a, b, c), centre (x, y, z), angle about z in degrees, grey level. Kak & Slaney 1988, p. 102.
_SPACE = [
    (0.69, 0.92, 0.9, 0.0, 0.0, 0.0, 0, 2.0),
    (0.6624, 0.874, 0.88, 0.0, 0.0, 0.0, 0, -0.98),
    (0.41, 0.16, 0.21, -0.22, 0.0, -0.25, 108, -0.02),
    (0.31, 0.11, 0.22, 0.22, 0.0, -0.25, 72, -0.02),
    (0.21, 0.25, 0.5, 0.0, 0.35, -0.25, 0, 0.02),
    (0.046, 0.046, 0.046, 0.0, 0.1, -0.25, 0, 0.02),
    (0.046, 0.023, 0.02, -0.08, -0.65, -0.25, 0, 0.01),
    (0.046, 0.023, 0.02, 0.06, -0.65, -0.25, 90, 0.01),
    (0.056, 0.04, 0.1, 0.06, -0.105, 0.625, 90, 0.02),
    (0.056, 0.056, 0.1, 0.0, 0.1, 0.625, 0, -0.02),
]
# Grey levels of Yu, Ye and Wang 2004.
_SPACE_MODIFIED = [1.0, -0.8, -0.2, -0.2, 0.2, 0.2, 0.1, 0.1, 0.2, -0.2]


def shepp_logan(
    ndim: Literal[2, 3] = 2,
    *,
    contrast: Literal["modified", "original"] = "modified",
    field_of_view: float = 256.0,
    attenuation: float = 0.0206,
) -> Phantom:
    """Return the Shepp-Logan head phantom.

    The head fills 0.69 x 0.92 (x 0.9) of the field of view along x, y (and z); its face looks along +y.

    Parameters
    ----------
    ndim : {2, 3}, optional
        Ten ellipses in the plane, or ten ellipsoids in space.
    contrast : {"modified", "original"}, optional
        Grey levels: "original" has a skull of 2.0, a brain of 1.02 (water is 1) and differences of 1 to 2 percent in
        it; "modified" has a skull of 1.0, a brain of 0.2 and differences one sees.
    field_of_view : float, optional
        Side in mm of the square (cube) that the tables take as [-1, 1], centred on the isocentre.
    attenuation : float, optional
        Attenuation in 1/mm of grey level 1; the default is water at 60 keV.

    Returns
    -------
    Phantom
        Of `ndim` dimensions.

    Raises
    ------
    InputError
        If `ndim` is not 2 or 3, `contrast` unknown, or a number not positive.

    References
    ----------
    Shepp and Logan 1974, "The Fourier reconstruction of a head section". Kak and Slaney 1988, "Principles of
    computerized tomographic imaging", p. 55 (plane) and p. 102 (space). Modified grey levels: Toft 1996, "The
    Radon transform: theory and implementation", p. 199 (plane); Yu, Ye and Wang 2004, "Katsevich-type algorithms
    for variable radius spiral cone-beam CT" (space).

    Examples
    --------
    >>> brain = shepp_logan(2, contrast="original", attenuation=0.02)
    >>> round(brain.value_at([0.0, -60.0]).item(), 6)
    0.0204
    """
    ndim = _checks.choice("ndim", ndim, (2, 3))
    contrast = _checks.choice("contrast", contrast, ("modified", "original"))
    scale = _checks.positive("field_of_view", field_of_view) / 2
    unit = _checks.positive("attenuation", attenuation)
    table: list[tuple[Any, ...]] = [*_PLANE] if ndim == 2 else [*_SPACE]
    modified = _PLANE_MODIFIED if ndim == 2 else _SPACE_MODIFIED
    shapes: list[Ellipse | Ellipsoid] = []
    for (*lengths, degrees, original), level in zip(table, modified, strict=True):
        half_axes, centre = ([scale * x for x in part] for part in (lengths[:ndim], lengths[ndim:]))
        angle, value = math.radians(degrees), unit * (original if contrast == "original" else level)
        if ndim == 2:
            shapes.append(Ellipse(half_axes, centre=centre, angle=angle, value=value))
        else:
            shapes.append(Ellipsoid(half_axes, centre=centre, rotation=(angle, 0.0, 0.0), value=value))
    return Phantom(shapes)
