# Every target sets up what it needs in .venv, from the package indexes alone, and reuses what is there.
# A fresh machine needs make, a C/C++ compiler, Rust (rustup) and Python >= 3.10 with venv and headers.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PEERS  := $(VENV)/.peers

# maturin and torch, with the versions pyproject.toml declares.
BUILD_NEEDS  := $(shell sed -nE 's/^(requires|torch) = \[("[^"]*")\].*/\2/p' pyproject.toml)
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name '*.toml' -o -name '*.cpp')

# As in an activated environment: maturin and torch's build look for their programs there.
export PATH := $(abspath $(BIN)):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The interpreter pyo3 builds against.
export PYO3_PYTHON := $(abspath $(BIN)/python)
# torch-sys binds the LibTorch inside the installed torch.
export LIBTORCH_USE_PYTORCH := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench notebooks stubs zoo

help:  ## Say what each target does.
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(READY)  ## Run the main job on a real CT image; ARGS="--input FILE --out DIR" for your own.
	$(BIN)/python -m spinray.demo $(ARGS)

test: $(READY)  ## Run all tests: the kernels' (cargo), then the package's, its doctests and the notebooks (pytest).
	cargo test --release --workspace --exclude spinray-python --exclude spinray-torch
	$(BIN)/python -m pytest

# clippy has a folder of its own: pyo3 would be built anew each time one target folder changes hands between it and maturin.
# spinray-torch shares the folder of its build: LibTorch's bindings are minutes of C++.
lint: $(READY)  ## Check format, lints, types, stubs and notebooks; change nothing.
	cargo fmt --all --check
	cargo clippy --locked --release --target-dir target/clippy --workspace --exclude spinray-torch --all-targets -- -D warnings
	cargo clippy --locked --release --target-dir target/torch -p spinray-torch -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python tools/stubs.py --check
	$(BIN)/python -m mypy.stubtest spinray._core --ignore-disjoint-bases
	$(BIN)/python tools/notebooks.py --check

bench: $(READY) $(PEERS)  ## Time the kernels beside the field's tools; prints ratios.
	$(BIN)/python benchmarks/run.py

zoo: $(READY)  ## Train the rows of the zoo, tune their rivals, check their bars; figures in spinray-zoo/. Slow. ARGS="I3 M10".
	$(BIN)/python -m spinray.zoo $(ARGS)

notebooks: $(READY)  ## Write notebooks/*.ipynb from the .py beside them, outputs stripped.
	$(BIN)/python tools/notebooks.py

stubs: $(READY)  ## Write python/spinray/_core.pyi from the built library.
	$(BIN)/python tools/stubs.py

# spinray is installed in place, in release mode: only Rust sources and pyproject.toml call for another build.
# torch comes first, and the build is not isolated, for the native module that links against it.
$(READY): pyproject.toml tools/build_backend.py $(RUST_SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "spinray needs Python >= 3.10: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(BUILD_NEEDS)
	$(BIN)/python -m pip install --no-build-isolation --editable ".[dev]"
	@touch $@

$(PEERS): benchmarks/requirements.txt $(READY)
	$(BIN)/python -m pip install --requirement benchmarks/requirements.txt
	@touch $@
