"""Samples: found where they should be, verified, and asked for with an error that says what to do."""

import hashlib
import os
import pickle
import shutil
from pathlib import Path

import pytest

import spinray
from real_data import BESIDE
from spinray.data import describe, names, registry, sample, samples
from spinray.errors import DtypeError, FileError, InputError


@pytest.fixture
def empty_machine(monkeypatch, tmp_path):
    """No data folder, an empty cache, and no network."""
    import pooch
    import requests

    monkeypatch.delenv("SPINRAY_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)

    def refuse(*args, **kwargs):
        raise requests.exceptions.ConnectionError("no route to host")

    monkeypatch.setattr(requests, "get", refuse)
    monkeypatch.setattr(requests.Session, "request", refuse)
    return tmp_path


@pytest.fixture
def fake(monkeypatch):
    """A sample of our own: its content, and its entry."""
    content = b"not really a tooth"
    entry = registry.Sample(
        "fake",
        "ct/fake.bin",
        hashlib.sha256(content).hexdigest(),
        "nothing",
        "nowhere",
        "none",
        "https://example.org/f",
    )
    monkeypatch.setitem(registry.SAMPLES, "fake", entry)
    return content, entry


def test_every_entry_is_complete():
    assert len(set(names())) == len(names()) == len({describe(name).file for name in names()})
    for name in names():
        entry = describe(name)
        assert entry.name == name
        assert len(entry.sha256) == 64
        assert entry.description
        assert entry.source
        assert entry.licence
        assert entry.file.startswith(("ct/", "mri/"))
        assert entry.url is None or entry.url.startswith("https://raw.githubusercontent.com/")
    assert pickle.loads(pickle.dumps(describe("ct_small"))) == describe("ct_small")


@pytest.mark.parametrize("name", [name for name in names() if name != "ct_small"])
def test_the_real_files_are_the_registered_ones(name, monkeypatch, empty_machine):
    folder = Path(os.environ.get("SPINRAY_DATA", BESIDE))
    if not (folder / describe(name).file).is_file():
        pytest.skip(f"{describe(name).file} is not in {folder}")
    monkeypatch.setenv("SPINRAY_DATA", str(folder))
    assert sample(name) == folder / describe(name).file


def test_a_slice_comes_with_pydicom(empty_machine):
    file = sample("ct_small")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == describe("ct_small").sha256
    assert spinray.io.read_dicom(file).data.shape == (1, 128, 128)


def test_the_data_folder_comes_before_the_cache(empty_machine, fake, monkeypatch):
    content, entry = fake
    for place in ("mine", "cache/spinray"):
        (empty_machine / place / "ct").mkdir(parents=True)
        (empty_machine / place / entry.file).write_bytes(content)
    assert sample("fake") == empty_machine / "cache/spinray" / entry.file
    monkeypatch.setenv("SPINRAY_DATA", str(empty_machine / "mine"))
    assert sample("fake") == empty_machine / "mine" / entry.file
    (empty_machine / "mine" / entry.file).unlink()
    assert sample("fake") == empty_machine / "cache/spinray" / entry.file


def test_another_content_is_refused(empty_machine, fake, monkeypatch):
    (empty_machine / "ct").mkdir()
    (empty_machine / fake[1].file).write_bytes(fake[0] + b"!")
    monkeypatch.setenv("SPINRAY_DATA", str(empty_machine))
    with pytest.raises(FileError, match=r"fake\.bin: not the sample 'fake'"):
        sample("fake")


def test_offline_the_error_says_what_to_do(empty_machine, fake):
    with pytest.raises(OSError, match=r"example\.org.*SPINRAY_DATA \(it is not set\).*ct/fake\.bin") as caught:
        sample("fake")
    assert isinstance(caught.value, FileError)
    assert not (empty_machine / "cache/spinray" / fake[1].file).exists()


def test_repacked_files_are_never_downloaded(empty_machine, monkeypatch):
    monkeypatch.setenv("SPINRAY_DATA", str(empty_machine))
    with pytest.raises(FileError, match=r"cannot be downloaded.*SPINRAY_DATA \(it is .*ct/head_ge_tilted\.npz"):
        sample("head_tilted")


@pytest.mark.parametrize("right", [True, False])
def test_a_download_is_kept_only_if_its_checksum_is_right(empty_machine, fake, monkeypatch, capfd, right):
    import pooch

    content, entry = fake
    real = pooch.retrieve
    served = empty_machine / "served"
    served.write_bytes(content if right else content[:-1])

    def local(url, known_hash, fname, path):
        assert url == entry.url
        return real(url, known_hash, fname, path, downloader=lambda url, out, _: shutil.copy(served, out))

    monkeypatch.setattr(pooch, "retrieve", local)
    target = empty_machine / "cache/spinray" / entry.file
    if right:
        assert sample("fake") == target
        assert target.read_bytes() == content
        served.unlink()
        assert sample("fake") == target
    else:
        with pytest.raises(FileError, match=r"could not be downloaded.*hash.*SPINRAY_DATA"):
            sample("fake")
        assert not target.exists()
    assert capfd.readouterr() == ("", "")


def test_wrong_names_list_the_right_ones():
    with pytest.raises(InputError, match=r"no sample 'teeth'.*tooth_sinogram"):
        sample("teeth")
    with pytest.raises(DtypeError, match="name"):
        sample(3)
    assert samples.names() == names()
