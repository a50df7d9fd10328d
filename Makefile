# Everything a person runs here. `make help` lists it.
#
# CLUSTER=auto|devcluster|kind|current|embedded says where `test` and `demo` run (docs/development.md).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CLUSTER ?= auto
export CLUSTER
# The interpreter is the machine's own: nothing is downloaded that a registry of packages does not serve.
export UV_PYTHON_DOWNLOADS ?= never
export UV_LINK_MODE ?= copy
# Compiled once here, not by each process where PYTHONDONTWRITEBYTECODE is set: importing scikit-learn takes a minute then.
export UV_COMPILE_BYTECODE ?= 1

TOOLS := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/modelroll/tools
UV := $(or $(shell command -v uv),$(TOOLS)/bin/uv)
# helm and kubectl of the project's own cluster, for those who have no others.
DEVCLUSTER_HOME ?= /var/lib/devcluster
export PATH := $(dir $(UV)):$(PATH):$(DEVCLUSTER_HOME)/bin
RUN := $(UV) run --frozen --no-sync
PYTHON_PATHS := service operator models hack benchmarks tests charts
ARGS ?=

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-22s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## Set everything up and show the main job: a new version goes live under load, nothing fails
	@hack/cluster up
	@eval "$$(hack/cluster env)" && $(RUN) python -m hack.demo

.PHONY: test
test: setup ## Set everything up and run every test that this machine can run (ARGS="-k name" narrows)
	@hack/cluster up
	@eval "$$(hack/cluster env)" && hack/test $(ARGS)

.PHONY: test-fast
test-fast: setup ## The tests that need no cluster
	@CLUSTER=embedded $(RUN) pytest --ignore=tests/e2e $(ARGS)

.PHONY: chaos
chaos: setup ## Rollouts of every kind while pods and operators die at random (ROUNDS=50 SEED=7: half an hour, 200,000 requests)
	@hack/cluster up
	@eval "$$(hack/cluster env)" && $(RUN) pytest -o faulthandler_timeout=0 tests/e2e/test_chaos.py $(ARGS)

.PHONY: bench
bench: setup ## Measure modelroll beside the bare server and every peer, an hour (ARGS="--model forest" narrows)
	@$(RUN) python -m benchmarks setup
	@$(RUN) python -m benchmarks run $(ARGS)

.PHONY: bench-quick
bench-quick: setup ## The same in three minutes: no peers but the tutorial server
	@$(RUN) python -m benchmarks run --quick $(ARGS)

.PHONY: scale
scale: setup ## What rollouts over 10 to 1,000 pods, and 200 Deployments, cost the operator, by simulation, half an hour (docs/scale.md)
	@$(RUN) python -m hack.scale $(ARGS)

.PHONY: estimators
estimators: setup ## Pack every estimator of scikit-learn that predicts; writes docs/estimators.md (ARGS="Ridge SVC" for some)
	@OMP_NUM_THREADS=1 $(RUN) python -m hack.estimators $(ARGS)

.PHONY: requests-with-cache
requests-with-cache: setup ## Ask a model that takes a second the same things, with the cache on: a table of latencies
	@$(RUN) python -m hack.requests --cache

.PHONY: requests-without-cache
requests-without-cache: setup ## The same without the cache
	@$(RUN) python -m hack.requests

.PHONY: rollouts
rollouts: setup ## Seconds that rollouts take on the cluster, and what callers notice of them (ARGS="--rounds 3" for fewer)
	@hack/cluster up
	@eval "$$(hack/cluster env)" && $(RUN) python -m hack.rollouts $(ARGS)

.PHONY: lint
lint: setup ## Formatting, lint, types and layers
	@$(RUN) ruff format --check $(PYTHON_PATHS)
	@$(RUN) ruff check $(PYTHON_PATHS)
	@$(RUN) mypy service/src operator/src models hack benchmarks tests
	@$(RUN) lint-imports --verbose >/dev/null || $(RUN) lint-imports
	@$(RUN) shellcheck -x $$(git grep -lE '^#!.*(bash|/sh)$$')

.PHONY: format
format: setup ## Format the code and mend what the linter can
	@$(RUN) ruff format $(PYTHON_PATHS)
	@$(RUN) ruff check --fix $(PYTHON_PATHS)

.PHONY: generate
generate: setup ## Make again what is made from something else (messages of gRPC, CRD copy, values schema, docs, kustomize base)
	@hack/with-helm $(RUN) python hack/generate.py

.PHONY: verify
verify: setup ## Fail if anything generated, or the lock file, is out of date
	@$(UV) lock --check
	@hack/with-helm $(RUN) python hack/generate.py --check

.PHONY: cluster-up
cluster-up: setup ## Bring the test cluster up and leave it up
	@hack/cluster up

.PHONY: cluster-down
cluster-down: ## Stop the test cluster
	@hack/cluster down

.PHONY: servers
servers: ## The servers that tests run and Debian has not: nats-server, versitygw (Go) and Kafka (Java, Maven)
	@hack/servers/build

.PHONY: setup
setup: .venv/.synced ## The virtual environment (.venv), with every tool in it

.venv/.synced: uv.lock pyproject.toml service/pyproject.toml operator/pyproject.toml | $(UV)
	@$(UV) sync --frozen --quiet
	@touch $@

$(TOOLS)/bin/uv:
	@python3 -m venv $(TOOLS) || { echo "python3 cannot make a virtual environment: install python3-venv, or uv itself" >&2; exit 1; }
	@$(TOOLS)/bin/pip install --quiet uv
