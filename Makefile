# The two commands of a fresh machine: `make run` and `make test`. Everything else is optional.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: run test lint test-registry bench simulate chaos mutants observe clean
.DEFAULT_GOAL := run

run: $(VENV)/.run ## the demo: embedded Kafka, both sandboxes, all processes. ARGS="--once --orders 300"
	@$(BIN)/k2x demo $(ARGS)

test: $(VENV)/.dev lint ## ruff, mypy --strict, and the default suite on a real Kafka
	$(BIN)/python -m pytest -n 3 --dist loadfile $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-registry: $(VENV)/.dev ## against a real Apicurio registry (downloads 168 MB from Maven Central)
	$(BIN)/python -m pytest -m registry tests/registry $(ARGS)

bench: $(VENV)/.dev ## prints a table, appends to tests/bench/results.csv
	$(BIN)/python -m tests.bench $(ARGS)

lock: ## pins every dependency anew
	$(BIN)/pip-compile -q --upgrade --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras -o requirements.lock pyproject.toml
	$(BIN)/pip-compile -q --upgrade --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml

chaos: $(VENV)/.dev ## kills every part of a running k2x and counts every order. ARGS=--short, ARGS="--orders 3000 --seed 7"
	$(BIN)/python -m tests.chaos $(ARGS)

observe: $(VENV)/.dev ## dashboards and alerts under a real Prometheus and Alertmanager (Debian's packages), with faults planted
	$(BIN)/python -m tests.observe $(ARGS)

SEEDS ?= 300
simulate: $(VENV)/.dev ## the real sink in seeded worlds of faults. SEEDS=20000, ARGS="--first 5000"
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)

mutants: $(VENV)/.dev ## sabotages the sink in every named way: a named test must fail for each
	$(BIN)/python -m tests.mutants $(ARGS)

clean: ## drops the environment and all data of the embedded Kafka and the demo
	rm -rf $(VENV) .k2x

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("k2x needs Python 3.11 or newer; set PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
