# Everything runs in .venv, which is made at first use; only python3 >= 3.11 and a package index are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help venv demo test lint bench bench-own docs clean

help:
	@echo "make demo         train the digits classifier in both worlds, draw it, export it, check it"
	@echo "make test         style, types and tests"
	@echo "make bench        measure beside PyTorch, JAX and others (installs them into .venv-peers); docs/benchmarks.md"
	@echo "make bench-own    measure symgraph alone, and what the machine could do; prints it"
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

# A peer that cannot be installed is left out. PyTorch's own index has builds without gigabytes for graphics
# cards. PyTensor is not in the extra: it wants an older llvmlite, so the peers' environment has no symgraph.
PEERS := .venv-peers
PEERS_PIP := $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check
TORCH := --timeout 10 --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0+cpu
EXTRA := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"])

$(PEERS)/.installed: pyproject.toml | $(STAMP)
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(PEERS_PIP) $(TORCH) 2>/dev/null || true
	@for peer in $$($(PEERS)/bin/python -c '$(EXTRA)') pytensor; do \
	    $(PEERS_PIP) "$$peer" || echo "$$peer could not be installed: it is left out" >&2; done
	@touch $@

bench: $(STAMP) $(PEERS)/.installed
	$(BIN)/python -m symgraph.bench --peers $(PEERS)/bin/python --write docs/benchmarks.md \
	    --picture docs/pictures/benchmarks.svg --readme README.md --save build/benchmarks.json

bench-own: $(STAMP)
	$(BIN)/python -m symgraph.bench

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/symgraph demo --quiet --output build/demo
	cp build/demo/one_layer.svg build/demo/forward_kernels.svg docs/pictures/
	printf 'site_name: symgraph\ndocs_dir: $(CURDIR)/docs\nsite_dir: $(CURDIR)/build/docs\n' \
	    | $(BIN)/mkdocs build --quiet --config-file -

clean:
	rm -rf $(VENV) .venv-peers build symgraph.egg-info .pytest_cache .ruff_cache symgraph-demo
