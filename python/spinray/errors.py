"""The exceptions spinray raises on bad input.

Each derives from the built-in one a caller would expect: ``except ValueError`` works as well as ``except InputError``.
"""

from __future__ import annotations

__all__ = ["DtypeError", "FileError", "InputError", "SpinrayError"]


class SpinrayError(Exception):
    """Base of every exception of spinray."""


class InputError(SpinrayError, ValueError):
    """An argument has an unusable value: the message names it, what was given and what is accepted."""


class DtypeError(SpinrayError, TypeError):
    """An argument has an unusable type or dtype: the message names it, what was given and what is accepted."""


class FileError(SpinrayError, OSError):
    """A file is missing, truncated, or not what it claims to be."""
