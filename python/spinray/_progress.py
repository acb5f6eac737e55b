"""The one progress bar: kernels and Python loops report to it, and it appears only when asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(
    description: str, total: int | None = None, *, enable: bool = True
) -> Iterator[Callable[[int, int], None]]:
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
        ``report(done, total)``, for a kernel's ``progress`` argument or to be called in a loop.

    Examples
    --------
    >>> with progress_bar("sirt", 3, enable=False) as report:
    ...     for i in range(3):
    ...         report(i + 1, 3)
    """
    if not enable:
        yield lambda done, total: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=description) as bar:

        def report(done: int, total: int) -> None:
            if total and bar.total != total:
                bar.total = total
                bar.refresh()
            bar.update(done - bar.n)

        yield report
