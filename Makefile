# make help lists the targets. Each sets up .venv by itself and is quick when nothing changed.
#
# PYTHON       the interpreter for .venv, 3.11 or newer (default: python3)
# TORCH_INDEX  an extra package index for PyTorch. On Linux without a GPU, PyPI's torch brings gigabytes of
#              CUDA libraries; PyTorch's own CPU builds do not:
#              make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
TORCH_INDEX ?=

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
PINS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint app clean postgresql

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

demo: .venv/.stamp-demo ## sweep the packaged 135M model, plot its front, export one adapter: runs/assistant/
	$(BIN)/pareto sweep sweeps/assistant.yaml && \
	$(BIN)/pareto front assistant --plot runs/assistant/front.png && \
	$(BIN)/pareto export assistant --best --out runs/assistant/export --overwrite

test: .venv/.stamp-dev postgresql ## every test, with the real model and a real PostgreSQL
	$(BIN)/python -m pytest

lint: .venv/.stamp-dev ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

app: ## the explorer
	@echo "The explorer is not in this version yet; 'pareto front RUN --plot front.html' draws an interactive front." >&2
	@exit 2

clean: ## remove .venv and the tools' caches; runs/ stays
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than what it was installed from.
.venv/.stamp-demo: $(PINS) | .venv/.stamp-venv
	@echo "Installing pareto into .venv (once; a few minutes)"
	$(INSTALL) --editable .
	@touch $@

.venv/.stamp-dev: $(PINS) | .venv/.stamp-venv
	@echo "Installing pareto and its developer tools into .venv (once; a few minutes)"
	$(INSTALL) --editable '.[dev,postgres,dashboard,agemoea]'
	@touch .venv/.stamp-demo $@

.venv/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "pareto needs Python 3.11 or newer; choose one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

# The tests start a server of their own from these binaries; none has to be running.
# Debian keeps initdb outside PATH.
postgresql:
	@if command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then as_root=false; \
	elif [ "$$(id -u)" = 0 ]; then as_root=; \
	elif sudo -n true 2>/dev/null; then as_root=sudo; \
	else as_root=false; fi; \
	if [ "$$as_root" = false ]; then \
		echo "The tests need PostgreSQL's initdb and postgres: install your system's PostgreSQL server package." >&2; exit 1; fi; \
	echo "Installing PostgreSQL's server (once)"; \
	$$as_root apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y -qq --no-install-recommends postgresql >/dev/null
