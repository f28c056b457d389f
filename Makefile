# Developer commands. Nothing needs to be activated; `make help` lists what there is.
VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
PYTHON ?= $(firstword $(shell command -v python3.11) $(shell command -v python3))
SETUP := $(VENV)/.facepipe-setup
PACKAGES := $(VENV)/.facepipe-packages
GPU := $(VENV)/.facepipe-gpu
CODE := api workers common facepipe deploy
T ?= tests
ARGS ?=

# The two runtimes share a folder: the other one must go first.
define USE_GPU_RUNTIME
$(UV) pip uninstall --quiet --python $(PY) onnxruntime
$(UV) pip install --quiet --python $(PY) --no-deps --require-hashes --reinstall-package onnxruntime-gpu -r locks/gpu.txt
endef

export PYTHONPATH := $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help setup gpu live demo up test chaos check bench bench-gallery bench-growth capacity accuracy lock docs doctor clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(SETUP)  ## make .venv from locks/local.txt and install the `facepipe` command; again only what changed

gpu: $(SETUP)  ## put the CUDA runtime in place of the CPU one; later setups keep it
	@touch $(GPU)
	$(USE_GPU_RUNTIME)

live: $(SETUP)  ## add WebRTC (aiortc), for the live streams of an older project: docs/howto/live.md
	$(UV) pip install --quiet --python $(PY) --no-deps --require-hashes -r locks/live.txt

demo: $(SETUP)  ## start a stack, enrol people, search a video, print who appears when, stop
	$(PY) -m deploy.demo $(ARGS)

up: $(SETUP)  ## run the whole stack in the foreground (ARGS="--pool detect=cuda:0,cuda:1"; COMPAT=1 or 000,002: docs/coming-from.md)
	$(if $(COMPAT),FACEPIPE_COMPAT=$(if $(filter 1 yes true,$(COMPAT)),all,$(COMPAT)) )$(PY) -m deploy.up $(ARGS)

test: $(SETUP)  ## run the tests (T=tests/unit for a part of them)
	$(PY) -m pytest $(T) $(ARGS)

chaos: $(SETUP)  ## kill and wipe what can be while jobs run, and check every promise (ARGS="--seed 7 --jobs 50", "--burst 1000")
	$(PY) -m tests.chaos $(ARGS)

check: $(SETUP)  ## lint, formatting, types, import rules, freshness of generated pages
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) -m deploy.reference --check

bench: $(SETUP)  ## measure the pipeline against a plain loop and against the ceiling
	$(PY) -m benchmarks.pipeline $(ARGS)

bench-gallery: $(SETUP)  ## measure exact search (ARGS="--sizes 20000,200000 --json figures.json")
	$(PY) -m benchmarks.gallery $(ARGS)

bench-growth: $(SETUP)  ## measure how throughput grows or falls (ARGS=--quick, "--only jobs", "--docs docs/performance")
	$(PY) -m benchmarks.growth $(ARGS)

capacity: $(SETUP)  ## how many hosts some footage takes (ARGS="--video-hours 1000 --within-days 7 --faces 2")
	$(PY) -m benchmarks.growth.plan $(ARGS)

accuracy: $(SETUP)  ## measure packs on LFW through the engine (ARGS="--packs mini,reference --write")
	$(PY) -m benchmarks.accuracy $(ARGS)

doctor: $(SETUP)  ## look at this installation and say what to do
	$(PY) -m deploy.doctor $(ARGS)

docs: $(SETUP)  ## write the reference pages that follow from the code
	$(PY) -m deploy.reference

COMPILE = $(UV) pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate $(ARGS)

lock: $(SETUP)  ## pin what pyproject.toml asks for (ARGS=--upgrade for newer versions)
	$(COMPILE) --group app --group cpu --group embedded --group dev --overrides locks/overrides-cpu.txt -o locks/local.txt
	$(COMPILE) --group app --group cpu --overrides locks/overrides-cpu.txt -o locks/app.txt
	$(COMPILE) --group app --group gpu --overrides locks/overrides-gpu.txt -o locks/gpu.txt
	$(COMPILE) --group live --constraints locks/local.txt -o locks/live.txt

clean:  ## remove .venv, caches and build folders (data in .facepipe stays)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find $(CODE) tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(PACKAGES): locks/bootstrap.txt locks/local.txt locks/gpu.txt
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "Python 3.11 is needed. Install it, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "venv does not work here: install the package python3-venv."; exit 1; }
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/bootstrap.txt
	$(UV) pip install --quiet --python $(PY) --no-deps --require-hashes -r locks/local.txt
	$(if $(wildcard $(GPU)),$(USE_GPU_RUNTIME))
	@touch $@

# The client alone is installed, as a copy: an editable install would expose the checkout's root (docs/adr/001).
$(SETUP): $(PACKAGES) pyproject.toml $(shell find facepipe -name '*.py' 2>/dev/null)
	$(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation --reinstall-package facepipe .
	@rm -rf build facepipe.egg-info
	@touch $@
