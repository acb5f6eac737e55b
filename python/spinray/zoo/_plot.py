"""The figure of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ._report import Report

__all__ = ["plot_report"]


def plot_report(report: Report) -> Figure:
    """Draw pictures above, curves and sweeps below."""
    import matplotlib.pyplot as plt

    columns = max(len(report.pictures), bool(report.curves) + len(report.sweeps), 1)
    rows = 1 + bool(report.pictures)
    figure, axes = plt.subplots(rows, columns, figsize=(3.2 * columns, 3.2 * rows), squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.set_axis_off()
    if report.pictures:
        _draw_pictures(report, axes[0])
    _draw_curves(report, axes[-1])
    figure.suptitle(f"{report.row}: {report.title}")
    return figure


def _draw_pictures(report: Report, axes: np.ndarray) -> None:
    """Show all images under the target's window."""
    window = np.quantile(report.pictures.get("target", next(iter(report.pictures.values()))), (0.002, 0.998))
    for ax, (name, image) in zip(axes, report.pictures.items(), strict=False):
        ax.imshow(image, cmap="gray", vmin=window[0], vmax=window[1], origin="lower")
        score = f"\n{report.scores[name]:.2f}" if name in report.scores else ""
        ax.set_title(name + score, fontsize=9)


def _draw_curves(report: Report, axes: np.ndarray) -> None:
    """Show the training curves in the first panel, and each sweep in one of its own."""
    panels = iter(axes)
    if report.curves:
        ax: Axes = next(panels)
        ax.set_axis_on()
        for name, curve in report.curves.items():
            ax.semilogy(curve, label=name)
        ax.set_xlabel("epoch")
        ax.legend(fontsize=8)
    for tuned in report.sweeps:
        ax = next(panels)
        ax.set_axis_on()
        ax.semilogx(tuned.values, tuned.scores, ".-")
        ax.plot(tuned.best, tuned.score, "o", fillstyle="none")
        ticks = sorted({tuned.values[0], tuned.best, tuned.values[-1]})
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
        ax.set_title(tuned.rival, fontsize=9)
        ax.set_xlabel(tuned.setting)
