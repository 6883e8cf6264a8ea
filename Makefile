# Two commands do everything, set-up included: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BENCH ?= --threads 1

.PHONY: demo test lint format docs bench bench-check clean

demo: $(VENV)/installed
	rm -rf runs/demo
	$(BIN)/python scripts/train.py configs/demo.yaml
	$(BIN)/python scripts/demo.py runs/demo

test: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The documentation site, in site/. A warning, such as a broken link, is an error.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The values and plots of docs/experiments/performance.md; some 40 minutes on an idle machine.
bench: $(VENV)/installed
	mkdir -p runs/benchmarks
	for name in overhead baselines train evaluate; do \
		$(BIN)/python -m benchmarks $$name $(BENCH) --json runs/benchmarks/$$name.json \
			--plot docs/experiments/images/bench-$$name.png > runs/benchmarks/$$name.md || exit 1; \
	done
	$(BIN)/python -m benchmarks check runs/benchmarks/overhead.json runs/benchmarks/baselines.json

# Quick ratios against their bounds.
bench-check: $(VENV)/installed
	$(BIN)/python -m benchmarks check --num_threads 1 --json runs/benchmarks/check.json

clean:
	rm -rf runs build dist *.egg-info

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
