# `make` prints the targets. Each sets up its environment first, in .venv: `make test` is all that a fresh clone needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BENCH ?= --num_threads 1
# Further options of pytest, as in `make test PYTEST="-k pointing"`.
PYTEST ?=
# Two processes, each of which takes over tests of the other when it has no more; the examples in docstrings are tests too.
RUN_TESTS := -m pytest -n 2 --dist worksteal --doctest-modules tests modeling_pm_vit
FAST := -m "not slow" --hypothesis-profile fast

.DEFAULT_GOAL := help
.PHONY: help demo demo-train test test-fast test-min test-latest coverage lint format types docs wheel smoke
.PHONY: bench bench-check clean

help: ## print the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## explain the bundled photographs beside other methods; under a minute
	$(BIN)/python scripts/demo.py

demo-train: $(VENV)/installed ## train a small model on the built-in images, 4 % of them with masks, and evaluate it
	rm -rf runs/demo
	$(BIN)/python scripts/train.py configs/demo.yaml
	$(BIN)/python scripts/demo_train.py runs/demo

test: $(VENV)/installed ## all tests, and the examples in docstrings; 5 to 11 minutes on 2 cores, by their kind
	OMP_NUM_THREADS=1 $(BIN)/python $(RUN_TESTS) $(PYTEST)

test-fast: $(VENV)/installed ## the tests without those marked slow; under 3 minutes on 2 cores
	OMP_NUM_THREADS=1 $(BIN)/python $(RUN_TESTS) $(FAST) $(PYTEST)

test-min: .venv-min/installed ## the same on the lowest allowed versions of all dependencies
	OMP_NUM_THREADS=1 .venv-min/bin/python $(RUN_TESTS) $(FAST) $(PYTEST)

test-latest: .venv-latest/installed ## the same on the newest allowed versions
	OMP_NUM_THREADS=1 .venv-latest/bin/python $(RUN_TESTS) $(FAST) $(PYTEST)

coverage: $(VENV)/installed ## all tests, and which lines they reach: a total, and htmlcov/index.html
	OMP_NUM_THREADS=1 $(BIN)/python $(RUN_TESTS) --cov --cov-report=html --cov-report=term $(PYTEST)

lint: $(VENV)/installed ## style, formatting, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

format: $(VENV)/installed ## repair what `make lint` can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/installed ## mypy over what is shipped
	$(BIN)/python -m mypy

docs: $(VENV)/installed ## the documentation site, in site/; a warning, such as a broken link, is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

wheel: $(VENV)/installed ## dist/*.whl and *.tar.gz
	rm -rf build dist
	$(BIN)/python -m build

smoke: wheel ## install the wheel into an empty environment, explain an image with it
	$(PYTHON) .ci/smoke.py dist/*.whl

bench: $(VENV)/installed ## the values and plots of docs/experiments/performance.md; 40 minutes on an idle machine
	mkdir -p runs/benchmarks
	for name in overhead baselines train evaluate; do \
		$(BIN)/python -m benchmarks $$name $(BENCH) --json runs/benchmarks/$$name.json \
			--plot docs/experiments/images/bench-$$name.png > runs/benchmarks/$$name.md || exit 1; \
	done
	$(BIN)/python -m benchmarks check runs/benchmarks/overhead.json runs/benchmarks/baselines.json

bench-check: $(VENV)/installed ## quick ratios of costs, against their bounds
	$(BIN)/python -m benchmarks check --num_threads 1 --json runs/benchmarks/check.json

clean: ## remove what was built or run here, but not the environments
	rm -rf runs build dist site htmlcov .coverage *.egg-info

CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'

$(VENV)/installed: pyproject.toml
	$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

.venv-min/installed: pyproject.toml
	$(CHECK_PYTHON)
	$(PYTHON) -m venv .venv-min
	.venv-min/bin/python -m pip install --quiet uv
	.venv-min/bin/uv pip install --quiet --python .venv-min/bin/python --resolution lowest-direct --editable '.[dev]'
	touch $@

.venv-latest/installed: pyproject.toml
	$(CHECK_PYTHON)
	$(PYTHON) -m venv .venv-latest
	.venv-latest/bin/python -m pip install --quiet --upgrade pip
	.venv-latest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[dev]'
	touch $@
