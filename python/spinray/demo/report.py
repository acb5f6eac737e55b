"""The report: one HTML file that holds all it shows, and the figures beside it."""

from __future__ import annotations

import base64
import html
import io
import os
import tempfile
from pathlib import Path

from ..config import show_config
from .section import Picture, Section, Table

__all__ = ["render", "write"]

_DPI = 130

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --soft: #5b6470; --line: #d9dee5; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --ink: #e6e9ed; --soft: #9aa4b0; --line: #323941; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 3.5rem 1.5rem 5rem; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.015em; }
h2 { font-size: 1.3rem; margin: 3.2rem 0 .8rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
p { max-width: 44rem; margin: 0 0 1rem; }
.lead, figcaption, footer { color: var(--soft); }
.wide { overflow-x: auto; margin: 1.4rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .94rem; }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 1px solid var(--ink); }
th, td { padding: .38rem 1.6rem .38rem 0; white-space: nowrap; }
td { border-bottom: 1px solid var(--line); }
.number { text-align: right; }
figure { margin: 1.6rem 0; }
figure img { display: block; width: 100%; background: #fff; border: 1px solid var(--line); border-radius: 6px;
  padding: .7rem; }
figcaption { font-size: .9rem; margin-top: .5rem; max-width: 44rem; }
footer { margin-top: 4rem; border-top: 1px solid var(--line); padding-top: 1rem; font-size: .85rem; }
footer td, footer th { padding-top: .1rem; padding-bottom: .1rem; border: 0; }
code { font: .92em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
@media print { h2 { break-after: avoid; } figure, table { break-inside: avoid; } }
"""


def write(folder: Path, title: str, sections: list[Section], seconds: float) -> list[Path]:
    """Write report.html and every figure as PNG; return what was written, the report first.

    All files are written under temporary names before the first is renamed: an error leaves the folder as it was.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    import matplotlib.pyplot as plt

    pictures = [picture for section in sections for picture in section.pictures]
    drawn = {picture.name: _png(picture) for picture in pictures}
    for picture in pictures:
        plt.close(picture.figure)
    contents = {f"{name}.png": data for name, data in drawn.items()}
    contents["report.html"] = render(title, sections, drawn, seconds).encode()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".spinray-") as temporary:
        for name, data in contents.items():
            (Path(temporary) / name).write_bytes(data)
        for name in contents:
            os.replace(Path(temporary) / name, folder / name)
    return [folder / "report.html", *(folder / f"{name}.png" for name in drawn)]


def render(title: str, sections: list[Section], drawn: dict[str, bytes], seconds: float) -> str:
    """Return the page; `drawn` holds the figures by name, as PNG."""
    body = [
        f"<h1>{_text(title)}</h1>",
        f'<p class="lead">spinray {_text(show_config().versions["spinray"] or "")}, the main job from end to end: '
        f"{seconds:.0f} s on {show_config().threads} threads.</p>",
    ]
    for section in sections:
        body.append(f"<section><h2>{_text(section.title)}</h2>")
        body.extend(f"<p>{_text(paragraph)}</p>" for paragraph in section.paragraphs)
        body.extend(_table(table) for table in section.tables)
        body.extend(_figure(picture, drawn[picture.name]) for picture in section.pictures)
        body.append("</section>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + f"\n{_footer()}\n</main>\n</body>\n</html>\n"
    )


def _png(picture: Picture) -> bytes:
    stream = io.BytesIO()
    picture.figure.savefig(stream, format="png", dpi=_DPI, facecolor="white")
    return stream.getvalue()


def _figure(picture: Picture, data: bytes) -> str:
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    caption = _text(picture.caption)
    return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


def _table(table: Table) -> str:
    def line(cells: tuple[str, ...], tag: str) -> str:
        kinds = ["" if i < table.left else ' class="number"' for i in range(len(cells))]
        return "".join(f"<{tag}{kind}>{_text(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))

    rows = "".join(f"<tr>{line(row, 'td')}</tr>" for row in table.rows)
    return (
        f'<div class="wide"><table><thead><tr>{line(table.head, "th")}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _footer() -> str:
    rows = [row.split("  ", 1) for row in repr(show_config()).splitlines()]
    cells = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value.strip())}</td></tr>" for name, value in rows)
    return f'<footer><div class="wide"><table>{cells}</table></div></footer>'


def _text(text: str) -> str:
    return html.escape(text, quote=True)
