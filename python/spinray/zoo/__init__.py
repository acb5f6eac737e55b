"""Tasks that networks learn from simulated data, each with its tuned rival, its metric and its bar."""

from ._report import Bar, Report, Sweep, sweep
from ._row import Row

__all__ = ["Bar", "Report", "Row", "Sweep", "sweep"]
