"""MATLAB files of version 5 to 7: variables that are numbers, text, cells and structs.

Not by `scipy.io.loadmat`, which crashes the interpreter on some damaged files: here every length is checked against the
bytes that are there. Sparse matrices, objects and function handles are left out.

References: MathWorks, "MAT-File Format" (2023).
"""

from __future__ import annotations

import math
import zlib
from typing import Any, Literal

import numpy as np

__all__ = ["MARK", "variables_of"]

#: The first bytes of such a file; version 7.3 is HDF5.
MARK = b"MATLAB 5.0 MAT-file"

_Order = Literal["<", ">"]
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
#: Storage type -> dtype.
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
#: Class of a matrix -> dtype; the values may be stored narrower.
_NUMERIC = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
#: Storage type of text -> encoding.
_TEXT = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}


def variables_of(content: bytes) -> dict[str, Any]:
    """Return the variables of a file.

    Parameters
    ----------
    content
        The whole file.

    Returns
    -------
    dict
        Structs as dict (arrays of structs and cells as list), text as str, single numbers as int or float, vectors
        as 1-D arrays, matrices as arrays in C order of the same indices.

    Raises
    ------
    ValueError
        If the file is damaged or truncated (`zlib.error`, which compressed variables raise, is none).
    """
    marks: dict[bytes, _Order] = {b"IM": "<", b"MI": ">"}
    if len(content) < _HEADER or not content.startswith(MARK) or content[126:128] not in marks:
        raise ValueError("the header of 128 bytes is damaged")
    order = marks[content[126:128]]
    return dict(_Elements(content[_HEADER:], order).variables())


class _Elements:
    """A sequence of data elements: a type, a length, that many bytes."""

    def __init__(self, content: bytes, order: _Order) -> None:
        self._content = content
        self._order = order
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._content)

    def _take(self, count: int) -> bytes:
        if count < 0 or self._at + count > len(self._content):
            raise ValueError(f"{count} bytes are promised, {len(self._content) - self._at} are there")
        self._at += count
        return self._content[self._at - count : self._at]

    def _word(self) -> int:
        return int.from_bytes(self._take(4), "little" if self._order == "<" else "big")

    def next(self) -> tuple[int, bytes]:
        """Return the type and the bytes of the next element."""
        kind = self._word()
        if kind >> 16:
            # Up to four bytes stand within the tag.
            count, kind = kind >> 16, kind & 0xFFFF
            return kind, self._take(4)[: min(count, 4)]
        count = self._word()
        data = self._take(count)
        if kind != _COMPRESSED:
            # To the next multiple of eight; the last element may end before it.
            self._at = min(self._at + -count % 8, len(self._content))
        return kind, data

    def numbers(self) -> np.ndarray:
        """Return the next element as a vector of numbers."""
        kind, data = self.next()
        if kind not in _STORED:
            raise ValueError(f"expected numbers, found an element of type {kind}")
        dtype = np.dtype(_STORED[kind])
        if len(data) % dtype.itemsize:
            raise ValueError(f"{len(data)} bytes are no whole number of {dtype}")
        return np.frombuffer(data, dtype.newbyteorder(self._order)).astype(dtype)

    def variables(self) -> list[tuple[str, Any]]:
        """Return name and value of all matrices that follow."""
        found = []
        while self:
            kind, data = self.next()
            if kind == _COMPRESSED:
                found += _Elements(zlib.decompress(data), self._order).variables()
            elif kind == _MATRIX:
                found.append(_Elements(data, self._order).matrix())
        return found

    def matrix(self) -> tuple[str, Any]:
        """Return name and value of the matrix that these elements make up."""
        if not self:
            # An empty element stands for an empty matrix.
            return "", np.empty((0, 0))
        flags, shape = self.numbers(), self.numbers()
        if len(flags) < 1 or len(shape) < 2 or shape.min() < 0:
            raise ValueError(f"a matrix has flags {flags} and shape {shape}")
        name = self.next()[1].decode("latin-1")
        kind, dims = int(flags[0]) & 0xFF, tuple(int(n) for n in shape)
        if kind in _NUMERIC:
            return name, self._numeric(_NUMERIC[kind], dims, bool(int(flags[0]) & 0x800))
        if kind == _CHAR:
            return name, self._text()
        if kind == _CELL:
            return name, [self._inner() for _ in range(math.prod(dims))]
        if kind == _STRUCT:
            return name, self._struct(math.prod(dims))
        return name, None

    def _numeric(self, dtype: str, dims: tuple[int, ...], is_complex: bool) -> Any:
        parts = [self.numbers().astype(dtype) for _ in range(2 if is_complex else 1)]
        if any(len(part) != math.prod(dims) for part in parts):
            raise ValueError(f"{len(parts[0])} numbers for a matrix of shape {dims}")
        values = parts[0] + 1j * parts[1] if is_complex else parts[0]
        if len(values) == 1:
            return values.item()
        if len(dims) == 2 and 1 in dims:
            return values
        return np.ascontiguousarray(values.reshape(dims, order="F"))

    def _text(self) -> str:
        kind, data = self.next()
        if kind not in _TEXT:
            raise ValueError(f"expected text, found an element of type {kind}")
        suffix = {"<": "-le", ">": "-be"}[self._order] if _TEXT[kind] in ("utf-16", "utf-32") else ""
        return data.decode(_TEXT[kind] + suffix)

    def _inner(self) -> Any:
        kind, data = self.next()
        if kind != _MATRIX:
            raise ValueError(f"expected a matrix within a cell or struct, found an element of type {kind}")
        return _Elements(data, self._order).matrix()[1]

    def _struct(self, count: int) -> Any:
        length = self.numbers()
        names = self.next()[1]
        if len(length) != 1 or length[0] < 1 or len(names) % int(length[0]):
            raise ValueError(f"field names of {len(names)} bytes in pieces of {length}")
        step = int(length[0])
        fields = [names[i : i + step].split(b"\0")[0].decode("latin-1") for i in range(0, len(names), step)]
        if fields and count > len(self._content):
            raise ValueError(f"{count} structs are promised in {len(self._content)} bytes")
        items = [{field: self._inner() for field in fields} for _ in range(count if fields else 0)]
        return items[0] if len(items) == 1 else items
