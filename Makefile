# Everything that a fresh machine needs for vemseg: `make demo` and `make test` set up their own environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_READY := $(VENV)/.bench-ready
DEMO := runs/demo
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

# A job is a process with one thread: many small networks train faster side by side than one after the other.
export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo test lint bench clean

help:  ## Say what there is to make
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(READY)  ## Make the environment .venv

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vemseg needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY)  ## Run the whole study on a generated capture: nine U-Nets, F1 tables, figures
	test -d $(DEMO)/capture || $(BIN)/vemseg phantom $(DEMO)/capture --shape 16,256,640 --example demo
	$(BIN)/vemseg run workflows/study.yaml -p config=$(DEMO)/capture/study.yaml -p run=$(DEMO)/run --jobs $(JOBS)

test: $(READY)  ## Run all tests
	$(BIN)/python -m pytest --numprocesses $(JOBS)

lint: $(READY)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(BENCH_READY)  ## Measure speed as ratios: inference, augmentation and loading against their peers
	for bench in inference loading augmentation; do $(BIN)/python -m tests.bench.bench_$$bench || exit 1; done

$(BENCH_READY): $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	touch $@

clean:  ## Remove the demo and all that is cached; .venv stays
	rm -rf $(DEMO) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find pipeline tests -name __pycache__ -type d -exec rm -rf {} +
