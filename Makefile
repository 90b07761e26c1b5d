PYTHON ?= python
VENV := .venv
.DEFAULT_GOAL := help
.PHONY: help demo test docs lint pytest wheel check check-all bench bench-ablation bench-cluster bench-peers bench-peers-whole bench-peers-temporal format

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV) ## install into .venv and run `batchgnn demo`
	$(VENV)/bin/pip install -q '.[mpi,demo]'
	$(VENV)/bin/batchgnn demo

test: $(VENV) ## install into .venv and run the tests
	$(VENV)/bin/pip install -q '.[mpi,test]'
	$(VENV)/bin/pytest

docs: ## the documentation, in build/docs; needs `pip install '.[docs]'`
	$(PYTHON) -m sphinx -W --keep-going -n -q docs build/docs

$(VENV):
	$(PYTHON) -m venv $@

format: ## rewrite the sources as the formatter wants them
	ruff format .
	ruff check --fix .

lint: ## formatting, style, types, import rules
	ruff format --check .
	ruff check .
	mypy -p batchgnn
	mypy --strict --follow-imports=silent examples/from_python.py
	lint-imports --no-logo

pytest: ## tests, those on several ranks included
	pytest

wheel: ## sdist and wheel, installed in a fresh environment and run from another folder
	PYTHON=$(PYTHON) .ci/wheel

check: lint pytest wheel ## all that must pass before a commit is shared

check-all: ## also slow tests, clusters, accuracy recipes, parity with PyG, kernels without the JIT
	$(PYTHON) -m pip install -q '.[parity,wandb]'
	$(MAKE) lint wheel
	BATCHGNN_ALL_CASES=1 pytest -m ''
	NUMBA_DISABLE_JIT=1 coverage run -m pytest -q tests/unit -k kernels
	coverage report --include '*/kernels/*'
	BATCHGNN_CACHE=$$(mktemp -d) NUMBA_BOUNDSCHECK=1 pytest -q tests/unit -k kernels

bench: ## measure, each number beside its floor
	pytest -q -m '' -s tests/bench

bench-ablation: ## what each technique adds, on 1.2 M vertices and 1, 2 and 4 ranks; in build/bench
	$(PYTHON) tests/bench/ablation.py

bench-cluster: ## the same on 4 emulated hosts with links of 1 and 0.25 Gbit/s; needs root
	$(PYTHON) tests/bench/ablation_cluster.py

bench-peers: ## beside DGL, GraphBolt and DistDGL, which go into a throw-away environment of 6 GB
	set -e; peers=$$(mktemp -d); trap "rm -rf $$peers" EXIT; python3.11 -m venv $$peers; \
	$$peers/bin/pip install -q -r tests/bench/requirements-peers.txt; \
	$(PYTHON) tests/bench/peers.py --peers $$peers/bin/python --out build/bench/peers.json; \
	$(PYTHON) tests/bench/peers.py --peers $$peers/bin/python --kernels --out build/bench/peers-kernels.json

bench-peers-whole: ## whole-graph epochs beside DGL and PyG, in throw-away environments of 8 GB
	set -e; peers=$$(mktemp -d); trap "rm -rf $$peers" EXIT; \
	for each in dgl pyg; do python3.11 -m venv $$peers/$$each; done; \
	$$peers/dgl/bin/pip install -q -r tests/bench/requirements-peers.txt; \
	$$peers/pyg/bin/pip install -q 'torch==2.13.0' 'torch-geometric==2.8.1' scipy setuptools wheel; \
	$$peers/pyg/bin/pip install -q --no-build-isolation torch-scatter torch-sparse; \
	$(PYTHON) tests/bench/peers_whole.py --dgl $$peers/dgl/bin/python --pyg $$peers/pyg/bin/python \
	    --out build/bench/peers-whole.json

bench-peers-temporal: ## steps beside PyG's TGN (SHARDS=FOLDER of a stream), in a throw-away environment of 2 GB
	set -e; peers=$$(mktemp -d); trap "rm -rf $$peers" EXIT; python3.11 -m venv $$peers; \
	$$peers/bin/pip install -q 'torch==2.13.0' 'torch-geometric==2.8.1'; \
	$(PYTHON) tests/bench/peers_temporal.py --pyg $$peers/bin/python --shards $(SHARDS) \
	    --out build/bench/peers-temporal.json
