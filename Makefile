# Everything a developer runs. `make demo` and `make test` need nothing but Python 3.11+ and root on Debian
# (or Docker; or a cluster of your own: KUBECONFIG=... REGISTRY=... make demo).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/belay
VENV := $(CACHE)/venv
PYTHON ?= python3
PY := $(VENV)/bin/python
PEERS := $(CACHE)/peers
D3RLPY := $(CACHE)/d3rlpy
TRACKERS := $(CACHE)/trackers
PROMETHEUS := $(CACHE)/prometheus
export PYTHONPATH := api:operator:trainer_image:handlers:logbook:client:dev/cluster:dev/demo:bench
CLUSTER := $(PY) -m belay_cluster
ROOMS := api operator trainer_image handlers logbook client dev bench tests

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z0-9%-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "%-14s%s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "installing developers' packages into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PY) dev/install.py
	@touch $@

.PHONY: setup
setup: $(VENV)/.installed ## install the developers' packages

.PHONY: demo
demo: setup ## from nothing to a canary that is promoted and a bad one that is rolled back
	@$(PY) -m belay_demo

.PHONY: cluster
cluster: setup ## bring up a cluster with Gateway API and Envoy Gateway
	@$(CLUSTER) up

.PHONY: cluster-down
cluster-down: setup ## remove the cluster; from one of your own, only what was installed there
	@$(CLUSTER) down --wipe

.PHONY: traces
traces: ## what of this machine a cluster could change: the same before the first and after cluster-down
	@PYTHONPATH=dev/cluster $(PYTHON) -m belay_cluster traces

.PHONY: images
images: setup ## build the images and hand them to the cluster; others than the usual: make images ARGS=NAME
	@$(CLUSTER) images $(ARGS)

.PHONY: test
test: lint test-unit test-images test-api test-e2e ## everything

.PHONY: test-unit
test-unit: setup ## minutes: pure core, statistics, models, clients and logbook; no cluster
	@$(PY) -m pytest -n auto tests/unit

.PHONY: test-images
test-images: setup ## trainer and handler, inside their images
	@$(CLUSTER) image-run belay-trainer-test --mount $(CURDIR):/src --workdir /src --env PYTHONPATH=api:trainer_image -- python3 -m pytest -p no:cacheprovider -n auto tests/unit/trainer
	@$(CLUSTER) image-run belay-handler-test --mount $(CURDIR):/src --workdir /src -- python3 -m pytest -p no:cacheprovider tests/unit/handler

.PHONY: test-api
test-api: setup ## a few minutes: on real kube-apiservers, one for each worker, which mostly wait
	@$(CLUSTER) build --only api
	@$(PY) -m pytest -n 3 --dist loadfile tests/api

.PHONY: test-e2e
test-e2e: setup ## on the real cluster: real pods, TorchServe, Envoy, training
	@$(CLUSTER) up
	@$(CLUSTER) images
	@$(PY) -m pytest tests/e2e

.PHONY: pictures
pictures: setup ## of docs/concepts, drawn with the operator's own functions
	@$(PY) -m pip install --quiet matplotlib==3.11.2
	@$(PY) dev/pictures.py

.PHONY: test-long
test-long: setup trackers prometheus ## what takes too long for every change: promises over thousands of rollouts, simulators, seeds killed ten times
	@$(CLUSTER) build --only api
	@$(CLUSTER) build --only helm
	@$(CLUSTER) build --only argocd
	@for round in 1 2 3 4 5; do $(PY) -m pytest -n auto -m hypothesis --hypothesis-profile explore tests/unit || exit 1; done
	@$(PY) -m pytest --hypothesis-profile explore tests/api/test_accepted.py
	@$(PY) -m pytest -m long tests/api
	@$(PY) -m pytest tests/long
	@$(CLUSTER) image-run belay-trainer-test --mount $(CURDIR):/src --workdir /src --env PYTHONPATH=api:trainer_image -- python3 -m pytest -p no:cacheprovider tests/long/trainer

.PHONY: bench
bench: setup ## every benchmark against its range file
	@$(CLUSTER) build
	@$(CLUSTER) build --only argo
	@$(MAKE) --no-print-directory peers || echo "bench/verdict goes on without them"
	@$(MAKE) --no-print-directory d3rlpy || echo "bench/training/offline goes on without it"
	@status=0; for run in bench/*/run.py; do echo "== $$(basename $$(dirname $$run))"; $(PY) $$run || status=1; done; exit $$status

$(PEERS)/.installed: pyproject.toml
	@echo "installing the packages that bench/verdict is measured beside into $(PEERS), a minute once"
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python dev/install.py peers
	@touch $@

.PHONY: peers
peers: $(PEERS)/.installed ## GrowthBook's and Spotify's statistics, for bench-verdict; Python 3.11

$(D3RLPY)/.installed: pyproject.toml
	@echo "installing d3rlpy, which bench/training/offline is measured beside, into $(D3RLPY), a minute once"
	@rm -rf $(D3RLPY)
	@$(PY) dev/install.py d3rlpy --target $(D3RLPY) --python-version 3.13
	@touch $@

.PHONY: d3rlpy
d3rlpy: setup $(D3RLPY)/.installed ## d3rlpy for bench-training, where Python is the trainer image's

$(TRACKERS)/.installed: pyproject.toml
	@echo "installing the clients of MLflow and W&B that tests/long talks to into $(TRACKERS), a minute once"
	@$(PYTHON) -m venv $(TRACKERS)
	@$(TRACKERS)/bin/python dev/install.py trackers
	@touch $@

.PHONY: trackers
trackers: $(TRACKERS)/.installed ## clients of MLflow and W&B, for test-long

$(PROMETHEUS)/usr/bin/prometheus:
	@echo "unpacking Debian's prometheus into $(PROMETHEUS): 20 MB to download, and nothing is installed"
	@mkdir -p $(PROMETHEUS)
	@cd $(PROMETHEUS) && (apt-get download prometheus || { apt-get update && apt-get download prometheus; }) && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb

.PHONY: prometheus
prometheus: $(PROMETHEUS)/usr/bin/prometheus ## a Prometheus server, for test-long; Debian

bench-verdict: setup ## verdicts in simulated worlds, beside rules of others: make bench-verdict ARGS=--quick
	@$(if $(findstring --quick,$(ARGS)),,$(MAKE) --no-print-directory peers || echo "going on without them")
	@$(PY) bench/verdict/run.py $(ARGS)

bench-%: setup ## one of them: make bench-verdict ARGS=--quick
	@$(PY) bench/$*/run.py $(ARGS)

.PHONY: lint
lint: setup ## ruff, mypy, import rules
	@$(VENV)/bin/ruff check $(ROOMS)
	@$(VENV)/bin/ruff format --check $(ROOMS)
	@$(VENV)/bin/mypy api/belay_api api/belay_heads operator/belay_operator
	@$(VENV)/bin/lint-imports --no-cache

.PHONY: generate
generate: setup ## CRDs and reference pages from the models
	@$(PY) -m belay_api.crd crds
	@$(PY) -m belay_api.crd charts/belay/files/crds
	@$(PY) dev/reference.py docs/reference
