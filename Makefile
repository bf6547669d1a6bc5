# Everything runs in .venv, which is made at first use; only python3 >= 3.11 and a package index are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help venv demo test lint bench bench-peers docs clean

help:
	@echo "make demo         train the digits classifier in both worlds, draw it, export it, check it"
	@echo "make test         style, types and tests"
	@echo "make bench        measure, and write docs/benchmarks.md"
	@echo "make bench-peers  the same with PyTorch and JAX beside it (installs both into .venv-peers)"
	@echo "make docs         draw the pictures anew; docs/ as HTML in build/docs"
	@echo "make venv         only the set-up that all of these share"
	@echo "make clean        remove all that was made"

venv: $(STAMP)

# The stamp is written last: an installation that was interrupted is started again.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "symgraph needs Python 3.11 or later")'
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || \
	    { rm -rf $(VENV); echo "python3 cannot make virtual environments: install its venv package" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo,test]'
	@touch $@

demo: $(STAMP)
	$(BIN)/symgraph demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/pyright

test: lint
	$(BIN)/python -m pytest -n auto --durations=10

bench: $(STAMP)
	$(BIN)/python -m symgraph.bench --write docs/benchmarks.md --readme README.md

bench-peers: $(STAMP)
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m symgraph.bench --write docs/benchmarks.md --readme README.md --peers .venv-peers/bin/python

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/symgraph demo --quiet --output build/demo
	cp build/demo/one_layer.svg build/demo/forward_kernels.svg docs/pictures/
	printf 'site_name: symgraph\ndocs_dir: $(CURDIR)/docs\nsite_dir: $(CURDIR)/build/docs\n' \
	    | $(BIN)/mkdocs build --quiet --config-file -

clean:
	rm -rf $(VENV) .venv-peers build symgraph.egg-info .pytest_cache .ruff_cache symgraph-demo
