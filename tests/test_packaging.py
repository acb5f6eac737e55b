"""The package as installed: what importing it costs, what it exposes, and how it is built."""

import importlib.util
import logging
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import spinray

ROOT = Path(__file__).resolve().parents[1]
EXT_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


def run_python(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, **{"timeout": 300, **options}
    ).stdout


def test_importing_spinray_imports_none_of_the_packages_it_works_with():
    code = "import spinray, sys; print(*sys.modules)"
    modules = {name.split(".")[0] for name in run_python(code).split()}
    assert "spinray" in modules
    assert not modules & {"torch", "numpy", "scipy", "matplotlib", "h5py", "pydicom", "pooch", "nibabel", "skimage"}


NEED_TORCH = {"nn", "training", "zoo"}


def test_public_names_other_than_of_networks_do_not_need_torch():
    names = sorted(set(spinray.__all__) - NEED_TORCH)
    code = f"import spinray, sys; [getattr(spinray, name) for name in {names}]; print('torch' in sys.modules)"
    assert run_python(code) == "False\n"


@pytest.mark.parametrize("name", sorted(NEED_TORCH))
def test_without_torch_the_networks_say_how_to_get_it(name):
    code = (
        "import sys; sys.modules['torch'] = None; import spinray\n"
        f"try: spinray.{name}\nexcept ImportError as error: print(error)"
    )
    assert run_python(code) == f'spinray.{name} needs torch: pip install "spinray[torch]"\n'


@pytest.mark.parametrize("name", spinray.__all__)
def test_every_public_name_is_there_after_a_plain_import(name):
    assert run_python(f"import spinray; print(getattr(spinray, {name!r}) is not None, {name!r} in dir(spinray))") == (
        "True True\n"
    )


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(spinray, "nonsense")
    with pytest.raises(AttributeError, match="'spinray' has no attribute 'nonsense'"):
        spinray.nonsense  # noqa: B018  looking is what is tested


def test_the_version_is_the_one_cargo_declares():
    declared = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.M)[1]
    assert spinray.__version__ == declared


def test_nothing_is_printed_and_the_logger_leaves_the_choice_to_the_user():
    assert run_python("import spinray; spinray.show_config(); spinray.get_num_threads()") == ""
    handlers = logging.getLogger("spinray").handlers
    assert [type(handler) for handler in handlers] == [logging.NullHandler]


def test_types_and_stubs_are_beside_the_sources():
    package = Path(spinray.__file__).parent
    assert (package / "py.typed").is_file()
    assert "def num_threads() -> int" in (package / "_core.pyi").read_text(encoding="utf-8")


@pytest.fixture
def backend(monkeypatch):
    """The build backend as a module of its own, run as pip does: at the top of the source tree, maturin at hand."""
    pytest.importorskip("maturin")
    spec = importlib.util.spec_from_file_location("build_backend", ROOT / "tools/build_backend.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    return module


@pytest.fixture
def tree(backend, monkeypatch, tmp_path):
    """A bare source tree with a torch crate, whose cargo leaves a library, beside an installed torch 2.13."""
    (tmp_path / "python/spinray").mkdir(parents=True)
    (tmp_path / "rust/torch").mkdir(parents=True)
    (tmp_path / "rust/torch/Cargo.toml").touch()
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())

    def cargo(command, **options):
        assert command[:2] == ["cargo", "build"]
        assert options["env"]["LIBTORCH_USE_PYTORCH"] == "1"
        (tmp_path / "target/torch/release").mkdir(parents=True, exist_ok=True)
        for name in ("lib_torch.so", "lib_torch.dylib"):
            (tmp_path / "target/torch/release" / name).write_text("new")

    monkeypatch.delenv("CARGO_TARGET_DIR", raising=False)
    monkeypatch.setattr(backend, "ROOT", tmp_path)
    monkeypatch.setattr(backend.subprocess, "run", cargo)
    monkeypatch.setattr(backend.metadata, "version", lambda name: "2.13.0+cpu")
    return tmp_path


def test_the_torch_module_is_left_out_with_the_reason(backend, tree, monkeypatch, capsys):
    def missing(name):
        raise backend.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(backend.metadata, "version", missing)
    assert backend.build_torch_module() is None
    assert "torch is not installed" in capsys.readouterr().err
    monkeypatch.setattr(backend.metadata, "version", lambda name: "2.12.0")
    assert backend.build_torch_module() is None
    assert "needs torch 2.13.*, found 2.12.0" in capsys.readouterr().err
    (tree / "rust/torch/Cargo.toml").unlink()
    assert backend.build_torch_module() is None
    assert "no rust/torch" in capsys.readouterr().err
    assert list((tree / "python/spinray").iterdir()) == []


def test_the_torch_module_carries_the_suffix_of_this_python(backend, tree):
    module = backend.build_torch_module()
    assert module == tree / f"python/spinray/_torch{EXT_SUFFIX}"
    assert module.read_text() == "new"


def test_a_wheel_holds_only_its_own_torch_module_and_leaves_the_installed_ones(backend, tree, monkeypatch):
    package = tree / "python/spinray"
    (package / f"_torch{EXT_SUFFIX}").write_text("installed")
    (package / "_torch.cpython-39-other.so").write_text("of another Python")
    packed = []
    monkeypatch.setattr(
        backend.maturin, "build_wheel", lambda *_: packed.extend((m.name, m.read_text()) for m in package.iterdir())
    )
    backend.build_wheel("dist")
    assert packed == [(f"_torch{EXT_SUFFIX}", "new")]
    assert (package / f"_torch{EXT_SUFFIX}").read_text() == "installed"
    assert (package / "_torch.cpython-39-other.so").read_text() == "of another Python"


def test_the_sdist_holds_all_that_a_build_needs(backend, tmp_path):
    with tarfile.open(tmp_path / backend.build_sdist(str(tmp_path))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    needed = {"Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "pyproject.toml", "tools/build_backend.py"}
    needed |= {"python/spinray/__init__.py", "python/spinray/py.typed", "rust/python/src/lib.rs"}
    crates = re.findall(r'path = "(rust/\w+)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    needed |= {f"{crate}/Cargo.toml" for crate in crates}
    assert needed <= names
    assert not [name for name in names if name.endswith(".so") or name.startswith("target")]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that holds spinray's wheel, unpacked, and nothing else; the names in the wheel."""
    pytest.importorskip("maturin")
    folder = tmp_path_factory.mktemp("wheel")
    code = f"import build_backend; print(build_backend.build_wheel({str(folder)!r}))"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "tools")}
    name = run_python(code, cwd=ROOT, env=environment, timeout=1500).split()[-1]
    assert f"cp{sys.version_info[0]}{sys.version_info[1]}" in name
    with zipfile.ZipFile(folder / name) as archive:
        archive.extractall(folder / "site")
        return folder / "site", archive.namelist()


def test_a_wheel_works_without_the_source_tree(site):
    folder, names = site
    for name in ("spinray/py.typed", "spinray/_core.pyi", f"spinray/_core{EXT_SUFFIX}"):
        assert name in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    code = "import spinray; print(spinray.__file__, spinray.get_num_threads() >= 1)"
    where, works = run_python(code, cwd=folder).split()
    assert Path(where).is_relative_to(folder)
    assert works == "True"


NETWORK = """
import warnings
import torch
{before}
from spinray import nn
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for _ in range(2):
        network = nn.UNet(features=4, levels=1)
        network(torch.ones(1, 1, 8, 8))
print(nn.__file__, network._kernel is not None, *{{str(w.message) for w in said}}, len(said), sep="\\n")
"""


def test_a_wheel_carries_the_networks_where_torch_is_the_pinned_one(site, backend):
    if reason := backend.reason_against_torch():
        pytest.skip(f"the wheel is without spinray._torch: {reason}")
    folder, names = site
    assert f"spinray/_torch{EXT_SUFFIX}" in names
    where, rust, warnings = run_python(NETWORK.format(before=""), cwd=folder).split("\n")[:3]
    assert Path(where).is_relative_to(folder)
    assert (rust, warnings) == ("True", "0")


def test_a_wheel_beside_another_torch_falls_back_to_pytorch_and_says_so_once(site):
    pytest.importorskip("torch")
    said = run_python(NETWORK.format(before="torch.__version__ = '2.12.1'"), cwd=site[0]).split("\n")
    assert said[1] == "False"
    assert "in PyTorch instead of Rust: spinray._torch needs torch 2.13.*, found 2.12.1. Install torch==2.13" in said[2]
    assert said[3] == "1"
