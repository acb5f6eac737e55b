"""Every notebook runs from its first cell to its last in a fresh kernel."""

import os
from pathlib import Path

import pytest

from real_data import BESIDE, real_file

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))


def test_there_are_notebooks():
    assert SOURCES


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
# jupyter_client's own loose ends, in this process; the notebook's warnings stay in its kernel.
@pytest.mark.filterwarnings("default")
def test_the_notebook_runs(source, tmp_path, monkeypatch):
    jupytext = pytest.importorskip("jupytext")
    nbclient = pytest.importorskip("nbclient")
    notebook = jupytext.read(source, fmt="py:percent")
    # A notebook on real files lists them: `# spinray_data: [ct/tooth_sinogram.h5]` under jupytext's header.
    for name in notebook.metadata.get("spinray_data", []):
        real_file(name)
    if BESIDE.is_dir():
        monkeypatch.setenv("SPINRAY_DATA", os.environ.get("SPINRAY_DATA", str(BESIDE)))
    # The kernel draws into the notebook, whatever backend the tests use.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    # Minutes of training become seconds.
    monkeypatch.setenv("SPINRAY_SHORT", "1")
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
