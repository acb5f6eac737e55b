"""The one progress bar: kernels and Python loops report to it, and it appears only when asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Report", "progress_bar"]


class Report(Protocol):
    """Takes what is done."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show `done` of `total`, and a note behind the bar."""


@contextmanager
def progress_bar(description: str, total: int | None = None, *, enable: bool = True) -> Iterator[Report]:
    """Show a progress bar while the body runs.

    Parameters
    ----------
    description
        What is being done, shown in front of the bar.
    total
        Number of steps where known beforehand; else the first report tells.
    enable
        False gives a function that does nothing: pass the caller's ``progress`` argument.

    Yields
    ------
    callable
        ``report(done, total)``, for a kernel's ``progress`` argument or to be called in a loop; a third argument is a
        note behind the bar.

    Examples
    --------
    >>> with progress_bar("sirt", 3, enable=False) as report:
    ...     for i in range(3):
    ...         report(i + 1, 3)
    """
    if not enable:
        yield lambda done, total, note="": None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=description) as bar:

        def report(done: int, total: int, note: str = "") -> None:
            if total and bar.total != total:
                bar.total = total
                bar.refresh()
            if note:
                bar.set_postfix_str(note, refresh=False)
            bar.update(done - bar.n)

        yield report
