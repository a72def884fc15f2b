# Each sets up everything it needs in .venv: `make demo`, `make test`, and `make findings` (hours).
PYTHON ?= python3
BIN := .venv/bin
export RAY_USAGE_STATS_ENABLED = 0

export DATA EXTRA

.PHONY: demo test test-gpu lint findings findings-gpu clean

demo: .venv/installed
	$(BIN)/flatleak run digits --out runs/digits

test: .venv/installed-test lint
	$(BIN)/pytest

GPU_TESTS = training recovery studies compiling
test-gpu: .venv/installed-test
	$(BIN)/pytest -v $(GPU_TESTS:%=tests/gpu/test_%_on_a_gpu.py)

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/oxlint --config analysis/report/page/oxlint.json --deny-warnings analysis/report/page/scripts

findings: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[search]'
	bash docs/studies.sh

findings-gpu: .venv/installed
	bash docs/studies-gpu.sh

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "flatleak needs Python 3.11 or later; run make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
