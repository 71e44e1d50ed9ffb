# Everything that a fresh machine needs for vemseg: `make demo` and `make test` set up their own environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_READY := $(VENV)/.bench-ready
SUPPLY := build/supply
# Exact versions, each file checked against its hash; what a package holds is copied, none of its code runs meanwhile.
LOCKED := install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all:
DEMO := runs/demo
# nproc heeds OMP_NUM_THREADS, which is about the threads of one process.
JOBS ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2)

# A job is a process with one thread: many small networks train faster side by side than one after the other.
export OMP_NUM_THREADS ?= 1

# A folder is called docs, too.
.PHONY: docs help setup demo app test trust door fuzz images e2e lint workflows bench-setup bench gpu gpu-wheels lock
.PHONY: audit sbom
.PHONY: chart-check kind-up kind-e2e kind-down clean

help:  ## Say what there is to make
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY)  ## Make the environment .venv

# TORCH_OPTIONS choose another build of torch, such as --index-url=... with PyTorch's index of wheels for CPUs.
$(READY): pyproject.toml $(wildcard locks/*.txt)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vemseg needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip $(LOCKED) $(foreach lock,torch-needs runtime app dev,--requirement locks/$(lock).txt)
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH_OPTIONS) --requirement locks/torch.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(READY)  ## Run the whole study on a generated capture: nine U-Nets, F1 tables, figures
	test -d $(DEMO)/capture || $(BIN)/vemseg phantom $(DEMO)/capture --shape 16,256,640 --example demo
	$(BIN)/vemseg run study -p config=$(DEMO)/capture/study.yaml -p run=$(DEMO)/run --jobs $(JOBS)

app: $(READY)  ## Serve the web application with the demo's models; its first page has a volume to try
	test -f $(DEMO)/run/models/multilabel/model.json || $(MAKE) demo
	test -f $(DEMO)/sample.zip || { $(BIN)/vemseg phantom $(DEMO)/sample --shape 16,256,640 --seed 1 \
	  && $(BIN)/python -m zipfile --create $(DEMO)/sample.zip $(DEMO)/sample/raw.tif; }
	$(BIN)/vemseg app --model $(DEMO)/run --data $(DEMO)/app --example $(DEMO)/sample.zip

test: $(READY)  ## Run all tests but those that need a cluster
	$(BIN)/python -m pytest --numprocesses $(JOBS) -m 'not cluster'

trust: $(READY)  ## Kill, damage, starve and attack it as often as is promised, and print a table of what came of it
	VEMSEG_TRUST=full $(BIN)/python -m pytest --numprocesses $(JOBS) --maxschedchunk 1 tests/trust \
	  tests/webapp/test_webapp_hostile.py tests/webapp/test_webapp_trust.py tests/webapp/test_webapp_records.py

door: $(READY)  ## Send every input of the formats' table through the application's intake, as a stranger would
	VEMSEG_DOOR=full $(BIN)/python -m pytest --numprocesses $(JOBS) tests/volume/test_volume_door_taken_in.py

fuzz: $(READY)  ## Give every reader of a format 20,000 damaged files (FUZZ_INPUTS)
	FUZZ_INPUTS=$${FUZZ_INPUTS:-20000} $(BIN)/python -m pytest -q -s tests/volume/test_volume_fuzz.py

images:  ## Build the container images (docker, podman or buildah)
	containers/build

e2e: $(READY)  ## Bring a cluster up, run whole studies and every fault in it, check the chart, take it down
	tests/cluster/run

lint: $(READY)  ## Check style, types and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

docs: $(READY)  ## Build the documentation as a site: build/docs/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

bench-setup: $(BENCH_READY)  ## Install the benchmarks' peers, too

workflows:  ## Assemble workflows/*.yaml from workflows/source
	$(PYTHON) workflows/source/assemble.py

# BEFORE=../before has an earlier build take part: git worktree add ../before fbc39db
bench: $(BENCH_READY)  ## Measure speed beside peers: a table, build/bench.json, build/bench.png (BEFORE=checkout)
	$(BIN)/python -m tests.bench $(if $(BEFORE),--before $(BEFORE))

# What a GPU machine without network needs beside its torch; GPU_PYTHON is its version.
GPU_PYTHON ?= 3.12
gpu-wheels: $(READY)  ## Fetch what `make gpu` needs where there is no network: build/gpu-wheels (GPU_PYTHON=3.12)
	rm -rf build/gpu-wheels build/gpu-site
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
	  --python-version $(GPU_PYTHON) $(foreach tag,manylinux_2_28 manylinux_2_27 manylinux2014,--platform $(tag)_x86_64) \
	  --dest build/gpu-wheels $(foreach lock,torch-needs runtime bench,--requirement locks/$(lock).txt)

gpu:  ## Check and measure CUDA on this machine, six minutes, no network (PYTHON=, GPU="--device cpu --tiny")
	tests/gpu/run $(GPU)

# nnU-Net needs much that nothing else does: it has a folder of its own. Two of its packages are sources alone.
$(BENCH_READY): $(READY)
	$(BIN)/pip $(LOCKED) --requirement locks/bench.txt
	rm -rf $(VENV)/nnunet
	$(BIN)/pip $(LOCKED) --no-binary acvl-utils,dynamic-network-architectures --no-build-isolation \
	  --target $(VENV)/nnunet --requirement locks/nnunet.txt
	touch $@

lock: $(SUPPLY)/.ready  ## Write the locks anew from pyproject.toml; UPGRADE=--upgrade takes the newest releases
	locks/compile $(CURDIR)/$(SUPPLY)/bin/uv $(UPGRADE)

audit: $(SUPPLY)/.ready  ## Ask whether a version in the locks has a known fault (needs the advisory database)
	locks/audit $(CURDIR)/$(SUPPLY)/bin/pip-audit

sbom: $(READY) $(SUPPLY)/.ready  ## List what .venv holds: build/sbom.cdx.json (CycloneDX); each image has its own
	$(SUPPLY)/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
	  --output-file build/sbom.cdx.json $(BIN)/python

# Tools that look at what is installed, in an environment of their own.
$(SUPPLY)/.ready: locks/supply.txt
	$(PYTHON) -m venv $(SUPPLY)
	$(SUPPLY)/bin/pip $(LOCKED) --requirement locks/supply.txt
	touch $@

chart-check: $(READY)  ## Check chart, overlays and workflows (helm, kubectl, argo; KUBECONFIG: in that cluster too)
	for site in kind nrp generic; do \
	  helm lint --strict --quiet charts/vemseg --values charts/vemseg/values-$$site.yaml || exit 1; \
	done
	env -u ARGO_SERVER argo lint --offline workflows
	$(BIN)/python -m pytest tests/charts

# A kind cluster for trying it out: Argo from its release, the image from this machine's docker, the chart.
KIND_KUBECONFIG := build/kind.kubeconfig
ARGO_RELEASE := https://github.com/argoproj/argo-workflows/releases/download/v4.0.7/install.yaml

kind-up: export KUBECONFIG = $(KIND_KUBECONFIG)
kind-up:  ## Make a kind cluster with Argo Workflows and vemseg in it (docker, kind, kubectl, helm; after make images)
	mkdir -p build
	kind get clusters | grep -qx vemseg || kind create cluster --config k8s/kind/cluster.yaml
	kind export kubeconfig --name vemseg
	kind load docker-image vemseg-worker:0.1.0 vemseg-web:0.1.0 --name vemseg
	kubectl get namespace argo || kubectl create namespace argo
	kubectl apply --server-side --namespace argo --filename $(ARGO_RELEASE)
	kubectl rollout status --namespace argo deployment/workflow-controller --timeout 5m
	kubectl apply --filename k8s/kind/namespace.yaml
	helm upgrade --install vemseg charts/vemseg --namespace vemseg --values charts/vemseg/values-kind.yaml
	helm test vemseg --namespace vemseg --timeout 10m
	@echo "export KUBECONFIG=$(CURDIR)/$(KIND_KUBECONFIG)"

kind-e2e: $(READY)  ## Run the end-to-end tests in the kind cluster
	KUBECONFIG=$(CURDIR)/$(KIND_KUBECONFIG) $(BIN)/python -m pytest tests/charts tests/cluster

kind-down:  ## Remove the kind cluster
	kind delete cluster --name vemseg
	rm -f $(KIND_KUBECONFIG)

clean:  ## Remove the demo and all that is cached; .venv stays
	rm -rf $(DEMO) build dist .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis *.egg-info
	find pipeline tests -name __pycache__ -type d -exec rm -rf {} +
