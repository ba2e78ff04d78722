# demo, quickstart and test each start from a bare clone: they need make and Python 3.10-3.13, nothing else.
# Choose another Python with `make test PYTHON=python3.12`.

VENV := .venv
BIN := $(VENV)/bin
MANIFESTS := setup.cfg pyproject.toml constraints.txt
USABLE := import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
# `make PYTHON=` counts as not given.
FOUND = $(or $(PYTHON),$(firstword $(foreach python,python3 python3.13 python3.12 python3.11 python3.10 python,\
	$(if $(shell $(python) -c "$(USABLE)" 2>/dev/null && echo yes),$(python)))))
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo quickstart test lint docs clean

demo: $(VENV)/demo.stamp
	$(BIN)/python demos/app.py $(ARGS)

quickstart: $(VENV)/core.stamp
	$(BIN)/python -m toolkit quickstart

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info

$(BIN)/python:
	@test -n "$(FOUND)" || { echo "Found no Python 3.10-3.13 with venv. Name one: make PYTHON=/path/to/python3"; exit 1; }
	@"$(FOUND)" -c "$(USABLE)" || { echo "$(FOUND) is not a Python 3.10-3.13 with venv. Name another with PYTHON="; exit 1; }
	"$(FOUND)" -m venv $(VENV)

# A failed install leaves no stamp, so the next run tries again.
$(VENV)/core.stamp: $(MANIFESTS) | $(BIN)/python
	@echo "Installing the toolkit into $(VENV): PyTorch is large, so the first time takes minutes."
	$(PIP) --editable .
	@touch $@

$(VENV)/demo.stamp: $(MANIFESTS) | $(BIN)/python
	@echo "Installing the toolkit and its page into $(VENV): PyTorch is large, so the first time takes minutes."
	$(PIP) --editable ".[demo,export,coco]"
	@touch $(VENV)/core.stamp $@

$(VENV)/dev.stamp: $(MANIFESTS) | $(BIN)/python
	@echo "Installing the toolkit and its test tools into $(VENV): the first time takes minutes."
	$(PIP) --editable ".[dev]"
	@touch $(VENV)/core.stamp $@

docs: $(VENV)/docs.stamp
	$(BIN)/mkdocs build --strict --site-dir site

$(VENV)/docs.stamp: $(MANIFESTS) | $(BIN)/python
	@echo "Installing what builds the documentation into $(VENV)."
	$(PIP) --editable ".[docs]"
	@touch $@
