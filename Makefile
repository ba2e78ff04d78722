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
# PyPI's torch for Linux brings gigabytes of CUDA along. Where there is no GPU, PyTorch's own index has one without.
CPU_TORCH := https://download.pytorch.org/whl/cpu
NO_GPU = [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1 && [ ! -e /dev/kfd ]

.PHONY: demo quickstart test lint docs clean

demo: $(VENV)/demo.stamp
	$(BIN)/python demos/app.py $(ARGS)

quickstart: $(VENV)/core.stamp
	$(BIN)/python -m toolkit quickstart

# A process a core, up to four, with one thread each: two that spin for each other's cores take longer than one.
# A file's tests stay together, so that what they share, such as a browser, starts once; the longest files come first.
test: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

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
# pip says what it fetches here and how much, and shows how far it is: this is the large one.
$(VENV)/torch.stamp: constraints.txt | $(BIN)/python
	@if $(NO_GPU); then \
		echo "No GPU here: fetching PyTorch without CUDA, 190 MB (with CUDA it would be gigabytes)."; \
		$(subst --quiet ,,$(PIP)) --no-deps --retries 1 --timeout 20 --index-url $(CPU_TORCH) torch || \
			echo "$(CPU_TORCH) is not reachable: the next step takes PyPI's PyTorch, which may bring gigabytes of CUDA."; \
	else \
		echo "Fetching PyTorch as PyPI has it for this machine: on Linux gigabytes, with CUDA; else 0.1 GB."; \
		$(subst --quiet ,,$(PIP)) torch; \
	fi
	@touch $@

$(VENV)/core.stamp: $(VENV)/torch.stamp $(MANIFESTS) | $(BIN)/python
	@echo "Installing the toolkit into $(VENV), and what it needs besides: 70 MB more."
	$(PIP) --editable .
	@touch $@

$(VENV)/demo.stamp: $(VENV)/torch.stamp $(MANIFESTS) | $(BIN)/python
	@echo "Installing the toolkit and its page into $(VENV): 160 MB more."
	$(PIP) --editable ".[demo,export,coco]"
	@touch $(VENV)/core.stamp $@

$(VENV)/dev.stamp: $(VENV)/torch.stamp $(MANIFESTS) | $(BIN)/python
	@echo "Installing the toolkit and its test tools into $(VENV): a few hundred MB more."
	$(PIP) --editable ".[dev]"
	@touch $(VENV)/core.stamp $@

docs: $(VENV)/docs.stamp
	$(BIN)/mkdocs build --strict --site-dir site

$(VENV)/docs.stamp: $(MANIFESTS) | $(BIN)/python
	@echo "Installing what builds the documentation into $(VENV)."
	$(PIP) --editable ".[docs]"
	@touch $@
