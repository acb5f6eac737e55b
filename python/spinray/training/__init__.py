"""Training of networks on data simulated meanwhile."""

from .simulated import Simulated

__all__ = ["Simulated"]
