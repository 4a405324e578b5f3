# make help lists the targets. Each sets up .venv by itself and is quick when nothing changed.
#
# PYTHON       the interpreter for .venv, 3.11 or newer (default: python3)
# TORCH_INDEX  an extra package index for PyTorch. On Linux without a GPU, PyPI's torch brings gigabytes of
#              CUDA libraries; PyTorch's own CPU builds do not:
#              make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
TORCH_INDEX ?=

BIN := .venv/bin
PINS := pyproject.toml constraints.txt
DEV := dev,app,serve,postgres,dashboard,agemoea,ray

# pip would compile the 26,000 modules one after the other; some packages carry files that no Python of ours compiles.
define install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '.$(1)'
	@$(BIN)/python -m compileall -qq -j 0 $(BIN)/../lib pareto app || true
	@touch $@
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint app serve clean postgresql chromium

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

demo: .venv/.stamp-demo ## sweep the packaged 135M model, plot its front, export one adapter: runs/assistant/
	$(BIN)/pareto sweep sweeps/assistant.yaml && \
	$(BIN)/pareto front assistant --plot runs/assistant/front.png && \
	$(BIN)/pareto export assistant --best --out runs/assistant/export --overwrite

test: .venv/.stamp-dev postgresql chromium ## every test, with the real model, a real PostgreSQL, a real browser
	cores=$$(getconf _NPROCESSORS_ONLN); OMP_NUM_THREADS=1 $(BIN)/python -m pytest \
		--numprocesses $$((cores < 4 ? cores + 1 : 4)) --dist loadfile --no-loadscope-reorder

lint: .venv/.stamp-dev ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers auto
	$(BIN)/lint-imports

app: .venv/.stamp-app ## the explorer in a browser, on the demo run or the latest: http://localhost:8501
	$(BIN)/pareto app $(if $(wildcard runs/assistant/run.json),assistant)

serve: .venv/.stamp-serve ## the demo run behind OpenAI's chat API, a preference per request: http://127.0.0.1:8000/v1
	$(BIN)/pareto serve assistant

clean: ## remove .venv and the tools' caches; runs/ stays
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than what it was installed from.
.venv/.stamp-demo: $(PINS) | .venv/.stamp-venv
	@echo "Installing pareto into .venv (once; a few minutes)"
	$(call install,)

.venv/.stamp-app: $(PINS) | .venv/.stamp-venv
	@echo "Installing pareto and its explorer into .venv (once; a few minutes)"
	$(call install,[app])
	@touch .venv/.stamp-demo

.venv/.stamp-serve: $(PINS) | .venv/.stamp-venv
	@echo "Installing pareto and its server into .venv (once; a few minutes)"
	$(call install,[serve])
	@touch .venv/.stamp-demo

.venv/.stamp-dev: $(PINS) | .venv/.stamp-venv
	@echo "Installing pareto and its developer tools into .venv (once; a few minutes)"
	$(call install,[$(DEV)])
	@touch .venv/.stamp-demo .venv/.stamp-app .venv/.stamp-serve

.venv/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "pareto needs Python 3.11 or newer; choose one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

# Debian's packages, where they are missing and there is a way to install them: system-package COMMAND-THAT-SHOWS-IT
# PACKAGES WHAT-FOR.
define system-package
	@if $(1); then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then as_root=false; \
	elif [ "$$(id -u)" = 0 ]; then as_root=; \
	elif sudo -n true 2>/dev/null; then as_root=sudo; \
	else as_root=false; fi; \
	if [ "$$as_root" = false ]; then echo "The tests need $(3): install your system's package of it." >&2; exit 1; fi; \
	echo "Installing $(3) (once)"; \
	$$as_root apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y -qq --no-install-recommends $(2) >/dev/null
endef

# The tests start a server of their own from these binaries; none has to be running. Debian keeps initdb outside PATH.
postgresql:
	$(call system-package,command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1,postgresql,PostgreSQL's server)

chromium:
	$(call system-package,command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null,chromium fonts-liberation,Chromium)
