"""The demo does its job on every kind of input, writes whole reports, and refuses the rest in one line."""

import base64
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import spinray
from real_data import real_file
from spinray import ct
from spinray.demo import acquisition, axis, inputs, main, measurements, report, slices
from spinray.demo import section as parts

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The demo run once, as users run it."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "spinray.demo", "--train", "10", "--out", str(folder / "report")]
    return folder / "report", subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def rows_of(text):
    """The table of reconstructions: (scan, method) -> PSNR, SSIM, RMSE."""
    found = re.findall(
        r"^(low dose|few views) +(FBP|SIRT|FISTA-TV).*? +([\d.]+) +([\d.-]+) +(\d+) +[\d.]+$", text, re.M
    )
    return {(scan, name): (float(psnr), float(ssim), float(rmse)) for scan, name, psnr, ssim, rmse in found}


def test_the_main_job_ends_well_and_says_what_it_found(finished):
    _, done = finished
    assert done.returncode == 0, done.stderr
    scores = rows_of(done.stdout)
    assert len(scores) == 6
    for scan in ("low dose", "few views"):
        # Total variation is worth its time, and comes near the resolution of the pixels themselves.
        assert scores[scan, "FISTA-TV"][2] < 0.75 * scores[scan, "FBP"][2]
        assert scores[scan, "FISTA-TV"][2] < scores[scan, "SIRT"][2]
        assert scores[scan, "FISTA-TV"][0] > 35
    assert "cone beam" in done.stdout
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr


def test_a_brain_is_fingerprinted(finished):
    _, done = finished
    rows = re.findall(r"^(noise alone|a \d+th of k-space) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$", done.stdout, re.M)
    (t1, t2, correlation, compared), folded = ([float(x) for x in row[1:]] for row in rows)
    assert t1 < 1.0
    assert t2 < 2.5  # a step of the grid
    assert correlation > 0.99
    assert compared < 2.0
    assert folded[0] < 5.0
    assert folded[1] < 15.0


def test_the_dose_of_the_scan_falls_off_beside_the_fan(finished):
    rows = re.findall(r"^(soft tissue .*?|bone .*?) {2,}([\d.]+) +([\d.]+)$", finished[1].stdout, re.M)
    fan, bone, beside, further = ([float(x) for x in row[1:]] for row in rows)
    assert 5.0 < fan[0] < 40.0  # mGy of 100 mAs
    assert 1.5 < bone[0] / fan[0] < 4.0  # calcium absorbs
    assert fan[0] > 5 * beside[0] > 10 * further[0] > 0
    assert fan[1] < 10.0  # %, on the slowest machine
    assert "dose.png" in {path.name for path in finished[0].iterdir()}


def test_a_wide_beam_brings_more_scatter(finished):
    rows = re.findall(r"^10{1,2} mm +([\d.]+) +([\d.]+)$", finished[1].stdout, re.M)
    (thin, _), (wide, error) = ([float(x) for x in row] for row in rows)
    assert 0 < 3 * thin < wide < 60  # %
    assert error < 1


def test_the_axis_is_found_by_its_gradient(finished):
    pytest.importorskip("torch")
    found = re.search(r"descent:\s+([\d.]+)\s+columns", finished[1].stdout)
    assert found
    assert float(found[1]) == pytest.approx(2.0, abs=0.02)


def test_scikit_image_computes_the_same_fbp(finished):
    pytest.importorskip("skimage")
    assert re.search(r"^The same FBP in scikit-image: [\d.]+ s, here: [\d.]+ s", finished[1].stdout, re.M)
    found = re.search(r"differ by\s+(\S+)\s+of", finished[1].stdout)
    assert found
    assert float(found[1]) < 1e-4


def test_the_report_is_one_file_that_needs_nothing_else(finished):
    folder, _ = finished
    page = (folder / "report.html").read_text()

    tags, sources = [], []

    class Page(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append(tag)
            sources.extend(value for name, value in attrs if name in ("src", "href"))

    Page().feed(page)
    pictures = sorted(folder.glob("*.png"))
    assert len(sources) == len(pictures) >= 5
    embedded = {base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in sources}
    assert embedded == {picture.read_bytes() for picture in pictures}
    assert not {"script", "link", "iframe"} & set(tags)
    assert "url(" not in page
    assert spinray.show_config().versions["numpy"] in page
    assert {path.suffix for path in folder.iterdir()} == {".png", ".html"}


@pytest.fixture
def quick(monkeypatch):
    """Few iterations, and only the part that depends on the input."""
    monkeypatch.setattr(slices, "_ITERATIONS", {"low dose": (3, 3), "few views": (3, 3)})
    monkeypatch.setattr(measurements, "_SIRT_ITERATIONS", 3)
    monkeypatch.setattr(measurements, "_TV_ITERATIONS", 3)
    job = sys.modules["spinray.demo.job"]
    for name in ("scan_head", "shift_axis", "dose_slice", "compare_fbp"):
        monkeypatch.setattr(job, name, lambda *_: parts.Section("left out"))
    yield
    plt.close("all")


def ct_like(shape=(4, 24, 20)):
    """A small volume in HU, flipped as DICOM stores it: a cylinder of tissue, a brighter spot at +x +y."""
    grid = spinray.Grid(shape, 2.0)
    _, y, x = np.meshgrid(*grid.axes(), indexing="ij")
    hu = np.where(np.hypot(x, y) < 15, 40.0, -1000.0) + 300 * (np.hypot(x - 8, y - 6) < 4)
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    return spinray.Volume(hu[:, ::-1, ::-1].astype(np.float32), flip @ grid.affine), hu


def test_nifti_goes_through(tmp_path, quick, capsys):
    spinray.io.write_nifti(tmp_path / "scan.nii.gz", ct_like()[0])
    assert main(["--train", "1", "--input", str(tmp_path / "scan.nii.gz"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "report.html").is_file()
    out = capsys.readouterr().out
    assert "scan.nii.gz" in out
    assert len(rows_of(out)) == 6


def test_the_slice_is_the_middle_one_the_right_way_up(tmp_path):
    volume, hu = ct_like()
    spinray.io.write_nifti(tmp_path / "scan.nii", volume)
    given = inputs.load(str(tmp_path / "scan.nii"))
    assert isinstance(given, inputs.Slice)
    np.testing.assert_allclose(given.hu, hu[2])
    assert given.grid.spacing == (2.0, 2.0)


def test_an_image_that_is_no_ct_is_told_so(tmp_path):
    volume = spinray.Volume(np.arange(32 * 32, dtype=np.uint16).reshape(1, 32, 32), np.eye(4))
    spinray.io.write_nifti(tmp_path / "mr.nii", volume)
    given = inputs.load(str(tmp_path / "mr.nii"))
    assert any("no CT numbers" in note for note in given.notes)
    assert given.hu.min() == -1000
    assert 500 < given.hu.max() < 700


def test_a_dicom_folder_goes_through(tmp_path, quick, capsys):
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").write_bytes(spinray.data.sample("ct_small").read_bytes())
    assert main(["--train", "1", "--input", str(tmp_path / "series"), "--out", str(tmp_path / "out")]) == 0
    assert len(rows_of(capsys.readouterr().out)) == 6


def raw_scan(path, n=96, centre=52.0):
    """A measurement of two cylinders whose axis falls on column `centre`, with uneven flats and darks."""
    import h5py

    rng = np.random.default_rng(4)
    angles = np.linspace(0, np.pi, 90, endpoint=False)
    phantom = spinray.phantoms.Phantom(
        [spinray.phantoms.Ellipse(25, value=0.03), spinray.phantoms.Ellipse(6, centre=(9, 8), value=0.04)]
    )
    A = ct.ParallelBeam(spinray.Grid((n, n)), angles, n, col_offset=(n - 1) / 2 - centre)
    flat = 40_000 * (1 + 0.2 * rng.random(n))
    counts = rng.poisson(flat * np.exp(-phantom.project(A))) + 100
    with h5py.File(path, "w") as file:
        file["exchange/data"] = counts[:, None].astype(np.uint16)
        file["exchange/data_white"] = np.broadcast_to(flat + 100, (3, 1, n)).astype(np.float32)
        file["exchange/data_dark"] = np.full((3, 1, n), 100, np.float32)
        file["exchange/theta"] = np.rad2deg(angles)


def test_a_raw_sinogram_is_reconstructed_itself(tmp_path, quick, capsys):
    raw_scan(tmp_path / "scan.h5")
    assert main(["--train", "1", "--input", str(tmp_path / "scan.h5"), "--out", str(tmp_path / "out")]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert float(re.search(r"axis stands at column ([\d.]+)", out)[1]) == pytest.approx(52.0, abs=0.3)
    assert "23 of 90" in out
    assert (tmp_path / "out" / "fbp.png").is_file()


def test_counts_without_flats_are_refused(tmp_path, capsys):
    import h5py

    raw_scan(tmp_path / "scan.h5")
    with h5py.File(tmp_path / "scan.h5", "a") as file:
        del file["exchange/data_white"]
    assert main(["--input", str(tmp_path / "scan.h5"), "--out", str(tmp_path / "out")]) == 2
    assert "flat fields" in capsys.readouterr().err


def test_the_real_tooth_stands_where_it_is_known_to_stand(tmp_path, quick, capsys):
    tooth = real_file("ct/tooth_sinogram.h5")
    assert main(["--train", "1", "--input", str(tooth), "--out", str(tmp_path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert float(re.search(r"axis stands at column ([\d.]+)", out)[1]) == pytest.approx(295.6, abs=0.5)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.nii", None, "does not exist"),
        ("notes.txt", b"hello", "none of"),
        ("broken.nii", b"hello", "broken.nii"),
        ("broken.dcm", b"hello", "broken.dcm"),
        ("broken.h5", b"\x89HDF\r\n\x1a\n broken", "broken.h5"),
        ("empty.nii.gz", b"", "empty.nii.gz"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, capsys, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["--input", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert says in captured.err
    assert captured.out == ""
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_refused(tmp_path, capsys):
    assert main(["--input", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("value", [0.0, -1000.0])
def test_an_image_without_anything_is_refused(tmp_path, capsys, value):
    volume = spinray.Volume(np.full((1, 32, 32), value, np.float32), np.eye(4))
    spinray.io.write_nifti(tmp_path / "flat.nii", volume)
    assert main(["--input", str(tmp_path / "flat.nii"), "--out", str(tmp_path / "out")]) == 2
    assert "same value everywhere" in capsys.readouterr().err


def test_a_file_in_place_of_the_folder_is_found_before_the_work(tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert main(["--out", str(tmp_path / "out")]) == 2
    assert "--out" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_a_report_that_fails_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "report.html").write_text("old")
    figure = plt.figure()
    section = parts.Section("one", pictures=[parts.Picture("new", figure, "words")])

    def full(self, data):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        report.write(tmp_path, "title", [section], 1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "old"


def test_names_cannot_break_the_page():
    section = parts.Section("<script>alert(1)</script>", ['a & "b" < c'])
    page = report.render("<b>", [section], {}, 1.0)
    assert "<script>" not in page
    assert "a &amp; &quot;b&quot; &lt; c" in page


def test_the_low_dose_has_the_noise_it_promises():
    given = inputs.sample()
    mu = ct.hu_to_attenuation(given.hu, clip=True)
    low, few = acquisition.acquire(mu, given.grid, 360, 110.0, 8, 0.0206)
    clean = acquisition.readings(mu, given.grid, 360)
    for scan, p in ((low, clean), (few, clean[::8])):
        assert np.std(scan.y - p) == pytest.approx(scan.noise, rel=0.03)
    noise = ct.attenuation_to_hu(ct.fbp(low.A, low.y)) - ct.attenuation_to_hu(ct.fbp(low.A, clean))
    middle = noise[44:84, 44:84]
    # Linear interpolation in the back-projection smooths: below the theory of a perfect one, not far.
    assert 0.5 * 110 < middle.std() < 110


def test_the_tv_weight_follows_noise_and_views():
    grid = spinray.Grid((64, 64), 0.7)
    weights = [acquisition.tv_weight(acquisition.scanner(grid, n), 0.01) for n in (90, 360)]
    assert weights[1] / weights[0] == pytest.approx(2.0, rel=0.02)
    # Against the norm of columns of the operator itself.
    A = acquisition.scanner(grid, 90)
    impulses = np.zeros((2, 64, 64), np.float32)
    impulses[0, 32, 32] = impulses[1, 20, 40] = 1
    norms = np.sqrt((A(impulses) ** 2).sum((1, 2)))
    assert weights[0] == pytest.approx(1.25 * 0.01 * norms.mean(), rel=0.15)


@pytest.mark.parametrize("shift", [-1.5, 0.7])
def test_the_descent_finds_other_shifts(shift):
    pytest.importorskip("torch")
    given = inputs.sample()
    mu = ct.hu_to_attenuation(given.hu, clip=True)
    A = acquisition.scanner(given.grid, 90)
    y = acquisition.readings(mu, given.grid, 90, shift)
    way = axis.find_shift(A, y)
    assert way.shifts[-1] == pytest.approx(shift, abs=0.03)
    assert way.losses[-1] < way.losses[0]


def test_moving_by_whole_columns_is_a_roll():
    torch = pytest.importorskip("torch")
    y = torch.rand(3, 16, dtype=torch.float64)
    expected = torch.zeros_like(y)
    expected[:, 2:] = y[:, :-2]
    torch.testing.assert_close(axis.moved(y, torch.tensor(2.0, dtype=torch.float64)), expected)


def test_the_readme_runs_when_pasted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    programs = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(programs) == 5
    assert len([line for line in programs[0].splitlines() if line.strip()]) <= 15
    names: dict = {}
    exec(programs[0], names)
    assert (tmp_path / "first_scan.png").stat().st_size > 10_000
    mu, fbp, tv = (ct.attenuation_to_hu(names[name]) for name in ("mu", "fbp", "tv"))
    assert np.sqrt(np.mean((tv - mu) ** 2)) < 0.7 * np.sqrt(np.mean((fbp - mu) ** 2)) < 40
    exec(programs[2], names)
    m, brain = names["m"], names["brain"]
    for name, step in (("t1", 0.02), ("t2", 0.03)):
        found, truth = getattr(m, name)[brain.mask], getattr(brain, name)[brain.mask]
        assert np.median(abs(found / truth - 1)) < step
    exec(programs[3], names)
    dose = names["dose"]
    assert dose.uncertainty() < 0.05
    along = dose.mean[:, 14:16, 14:16].sum((1, 2))
    assert along[0] > 2 * along[6] > 4 * along[20] > 0
    plt.close("all")
    torch = pytest.importorskip("torch")
    exec(programs[1], names)
    torch.testing.assert_close(names["x"].grad, torch.from_numpy(-2 * names["A"].adjoint(names["y"])))
    exec(programs[4].replace("seconds=60", "seconds=5"), names)
    assert names["history"].n_steps > 0
    plt.close("all")
