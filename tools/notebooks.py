"""Write notebooks/*.ipynb from the jupytext .py beside them, without outputs; --check says whether they are current."""

import argparse
import sys
from pathlib import Path

import jupytext
import nbformat

ROOT = Path(__file__).resolve().parents[1]


def notebook(source: Path) -> str:
    """Give the text of the notebook a .py stands for: no outputs, and the same bytes every time."""
    content = jupytext.read(source, fmt="py:percent")
    for number, cell in enumerate(content.cells):
        cell["id"] = f"cell-{number:02}"
    content.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    content.nbformat, content.nbformat_minor = 4, 5
    nbformat.validate(content)
    return nbformat.writes(content) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a notebook differs, and write nothing")
    check = parser.parse_args().check
    sources = sorted((ROOT / "notebooks").glob("*.py"))
    stale = {path.name for path in (ROOT / "notebooks").glob("*.ipynb") if not path.with_suffix(".py").exists()}
    for source in sources:
        target, text = source.with_suffix(".ipynb"), notebook(source)
        if target.is_file() and target.read_text(encoding="utf-8") == text:
            continue
        if check:
            stale.add(target.name)
        else:
            target.write_text(text, encoding="utf-8")
    if stale:
        print(f"not what their .py says (make notebooks), or without one: {', '.join(sorted(stale))}", file=sys.stderr)
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
