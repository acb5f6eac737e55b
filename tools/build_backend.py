"""PEP 517 backend: maturin, as it is."""
from maturin import *  # noqa: F403
