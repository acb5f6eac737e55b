"""Objects in files: an uncompressed .npz archive of plain arrays and a header in JSON, nothing pickled."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..errors import DtypeError, FileError, InputError
from ._files import as_path, existing_file, replacing

__all__ = ["Format"]

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Format:
    """What an archive holds.

    Parameters
    ----------
    kind : str
        The class, by its public name; ``kind.save`` writes it.
    version : int
        Counts changes of what is written that older readers would misread.
    fix : str
        What to do about a file of another version.
    """

    kind: str
    version: int
    fix: str = "Use the version of spinray that wrote it"

    @property
    def _written(self) -> str:
        return f"written by {self.kind.rpartition('.')[2]}.save"

    def write(self, path: Any, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Write an archive; `path` is replaced when all is on disk.

        Raises
        ------
        FileError
            If the file cannot be written.
        """
        text = json.dumps({"kind": self.kind, "version": self.version, **header})
        entries: dict[str, Any] = {"header": np.frombuffer(text.encode(), np.uint8), **arrays}
        with replacing(as_path(path)) as file:
            np.savez(file, **entries)

    def read(self, path: Any, assembled: Callable[[dict[str, Any], dict[str, np.ndarray]], T]) -> T:
        """Return what `assembled` makes of the header and the arrays of an archive; it may refuse them.

        Raises
        ------
        FileError
            If there is none, it is truncated or damaged, of another kind, or of another version.
        """
        file = existing_file(path, f"a file {self._written}")
        try:
            header, arrays = self._entries(file)
        except FileError:
            raise
        # Damaged archives make NumPy, zipfile and json raise nearly anything; truncated ones lack their table of
        # contents.
        except Exception as error:
            raise FileError(f"{file}: truncated, damaged, or not {self._written} ({error})") from None
        try:
            return assembled(header, arrays)
        except (InputError, DtypeError, KeyError, TypeError, ValueError) as error:
            raise FileError(f"{file}: damaged: {error}") from None

    def _entries(self, file: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the header and the arrays of a file."""
        # NumPy leaves files that it opens itself open when they are damaged.
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise FileError(f"{file}: expected a file {self._written}, got a single array")
            if "header" not in archive:
                raise FileError(f"{file}: expected a file {self._written}, got an archive of other arrays")
            header = json.loads(archive["header"].tobytes())
            kind, version = (header.get(key) if isinstance(header, dict) else header for key in ("kind", "version"))
            if kind != self.kind:
                raise FileError(f"{file}: expected a file {self._written}, got kind {kind!r}")
            if version != self.version:
                raise FileError(f"{file}: expected version {self.version} of {kind}, got {version}. {self.fix}")
            return header, {name: archive[name] for name in archive.files if name != "header"}
