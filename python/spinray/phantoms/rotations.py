"""Rotations of shapes: local axes to world axes."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from .. import _checks
from ..errors import InputError

Matrix: TypeAlias = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]

IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def about_z(angle: float) -> np.ndarray:
    """Return the 3x3 matrix that turns x towards y by `angle` (rad)."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def about_x(angle: float) -> np.ndarray:
    """Return the 3x3 matrix that turns y towards z by `angle` (rad)."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def euler_zxz(phi: float, theta: float, psi: float) -> np.ndarray:
    """Return the rotation R = Rz(phi) Rx(theta) Rz(psi) that takes local to world coordinates.

    The shape is turned by psi about z, then by theta about x, then by phi about z, each right-handed about the
    fixed world axes (equivalently by phi about its own z, theta about its new x, psi about its new z).

    Parameters
    ----------
    phi, theta, psi : float
        Angles in rad.

    Returns
    -------
    numpy.ndarray
        Matrix of shape (3, 3).

    References
    ----------
    Goldstein, Poole and Safko 2002, "Classical mechanics", section 4.4 (the "x convention"; the matrix here is
    the transpose of theirs, which turns axes and not bodies).

    Examples
    --------
    >>> import numpy as np
    >>> np.round(euler_zxz(np.pi / 2, 0.0, 0.0) @ [1.0, 0.0, 0.0], 12) + 0.0
    array([0., 1., 0.])
    >>> np.round(euler_zxz(0.0, np.pi / 2, 0.0) @ [0.0, 0.0, 1.0], 12) + 0.0
    array([ 0., -1.,  0.])
    """
    return about_z(phi) @ about_x(theta) @ about_z(psi)


def z_onto(axis: np.ndarray) -> np.ndarray:
    """Return the smallest rotation that takes the z axis onto the unit vector `axis`."""
    x, y, z = axis
    azimuth = math.atan2(y, x) + math.pi / 2
    return euler_zxz(azimuth, math.atan2(math.hypot(x, y), z), -azimuth)


def rotation(name: str, value: Any) -> Matrix:
    """Return None, three ZXZ Euler angles or a proper 3x3 rotation as a matrix of tuples."""
    if value is None:
        return IDENTITY
    given = _checks.finite(name, value).astype(np.float64)
    if given.shape == (3,):
        if np.abs(given).max() > 2 * math.pi:
            raise InputError(f"{name}: expected Euler angles in [-2 pi, 2 pi] rad, got {given.tolist()}. Degrees?")
        return frozen(euler_zxz(*map(float, given)))
    if given.shape != (3, 3):
        raise InputError(
            f"{name}: expected three Euler angles (phi, theta, psi) in rad or a 3x3 matrix, got shape {given.shape}"
        )
    if np.abs(given @ given.T - np.eye(3)).max() > 1e-6 or np.linalg.det(given) < 0:
        raise InputError(
            f"{name}: expected a rotation (R R' = 1, det R = 1), got {given.tolist()}. Scale the half axes instead"
        )
    return frozen(given)


def frozen(matrix: np.ndarray) -> Matrix:
    """Return a 3x3 matrix as tuples, which can be hashed and compared."""
    a, b, c = ((float(row[0]), float(row[1]), float(row[2])) for row in matrix)
    return a, b, c
