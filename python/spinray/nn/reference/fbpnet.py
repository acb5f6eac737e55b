"""Filtered back-projection as a network."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ...ct.fbp import FilteredBackprojection
from ...ct.geometry import CircularScan
from ...errors import DtypeError
from ...operators import LinearOperator
from ._architecture import Architecture
from ._layers import boolean
from ._unrolled import check_measurements

__all__ = ["FBPNet"]


class FBPNet(Architecture):
    """Filtered back-projection with learned weights and filter; untrained it is `spinray.ct.fbp`.

    Projections are weighted ray by ray (angular interval and redundancy per view and column, obliquity per row and
    column) and convolved along the detector rows; then the fixed back-projection follows. Weights and filter are
    learned, each divided by its largest value before training.

    Parameters
    ----------
    A : ParallelBeam, FanBeam or ConeBeam
        The scan.
    filter, cutoff, short_scan
        What the weights start as: see `spinray.ct.fbp`, also for its warnings.
    relu
        Set negative values of the image to 0, as in the paper.

    Raises
    ------
    InputError
        As `spinray.ct.fbp`.
    DtypeError
        If `A` is no circular scan.

    References
    ----------
    T. Würfl, F. C. Ghesu, V. Christlein, A. Maier, "Deep learning computed tomography", MICCAI 2016; T. Würfl,
    M. Hoffmann, V. Christlein, K. Breininger, Y. Huang, M. Unberath, A. Maier, "Deep learning computed tomography:
    learning projection-domain weights from image domain in limited angle problems", IEEE Trans. Med. Imaging 37 (2018)
    1454.

    Examples
    --------
    >>> import numpy as np, torch, spinray
    >>> from spinray.nn import FBPNet
    >>> A = spinray.ct.ParallelBeam(spinray.Grid((32, 32)), np.linspace(0, np.pi, 60, endpoint=False), n_cols=47)
    >>> y = torch.rand(2, 1, 60, 47)
    >>> torch.allclose(FBPNet(A)(y), spinray.ct.fbp(A, y), atol=1e-6)
    True
    """

    def __init__(
        self,
        A: CircularScan,
        *,
        filter: str = "ram-lak",
        cutoff: float = 1.0,
        short_scan: str | bool = "auto",
        relu: bool = False,
    ) -> None:
        if not isinstance(A, CircularScan):
            raise DtypeError(f"A: expected a ParallelBeam, FanBeam or ConeBeam, got {type(A).__name__}")
        fbp = FilteredBackprojection(A, filter, cutoff, short_scan)
        super().__init__(filter=fbp.filter, cutoff=fbp.cutoff, short_scan=fbp.short_scan, relu=boolean("relu", relu))
        self.operator = A
        steps = fbp.steps()
        self.margins, self.backprojection = steps.margins, steps.backprojection
        view_weights = steps.view_weights if len(A.range_shape) == 2 else steps.view_weights[:, None]
        self.scale = 1.0
        self.view_weights = self._learned(view_weights)
        self.row_weights = self._learned(steps.row_weights)
        self.kernel = self._learned(steps.kernel)

    def _learned(self, values: np.ndarray) -> nn.Parameter:
        """Return values to learn, scaled to at most 1; what is left out multiplies the image."""
        largest = float(np.abs(values).max())
        self.scale *= largest
        return nn.Parameter(torch.tensor(values / largest, dtype=torch.get_default_dtype()))

    @property
    def operators(self) -> tuple[LinearOperator, ...]:
        """What the network in Rust computes with."""
        return (self.backprojection,)

    def check(self, *inputs: torch.Tensor) -> None:
        """Raise unless the input is one tensor of measurements.

        Raises
        ------
        InputError
            If its shape is not (batch, 1, *A.range_shape).
        DtypeError
            If its dtype or device is not that of the weights.
        """
        check_measurements(self, self.operator, *inputs)

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Return images, shape (batch, 1, *A.domain_shape), for projections, shape (batch, 1, *A.range_shape)."""
        self.check(y)
        image = self.compute(nn.functional.pad(y.to(self.kernel.dtype), self.margins)) * self.scale
        return torch.relu(image) if self.spec["relu"] else image

    def compute(self, y: torch.Tensor) -> torch.Tensor:
        """Do `forward` for projections on the full detector, but for the scale."""
        columns = y.shape[-1]
        length = 2 * columns
        response = torch.fft.rfft(self.kernel, length)
        spectrum = torch.fft.rfft(y * self.view_weights * self.row_weights, length)
        rows = torch.fft.irfft(spectrum * response, length)
        return self.backprojection(rows[..., columns - 1 : 2 * columns - 1])
