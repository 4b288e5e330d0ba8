# Everything runs in an environment of its own, .venv; only Python 3.10+ and make are needed.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: test test-long lint demo generated docs site fuzz fuzz-graphs fuzz-models mutants bench bench-compile clean

test: lint
	$(BIN)/pytest -n auto

# What takes longer: more cases where a test takes a sample, other Pythons, and the least and newest
# versions of what symflow needs.
test-long: $(READY)
	$(BIN)/pytest -n auto --long
	$(BIN)/python tests/environments.py

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

demo: $(READY)
	$(BIN)/python examples/demo.py

generated: $(READY)
	$(BIN)/pytest tests -k golden --update-generated

docs: $(READY)
	$(BIN)/python tests/accuracy.py
	$(BIN)/pytest tests/test_stability.py -k documented --update-generated

# The documentation as a site: docs/_build/index.html.
site: $(READY)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet docs docs/_build

# Random models, as many as N, from the one of number SEED: like those that users write, and
# even-handed graphs.
N ?= 100000
SEED ?= 0
fuzz: $(READY)
	$(BIN)/python tests/fuzz.py $(N) --seed $(SEED)

fuzz-graphs: $(READY)
	$(BIN)/python tests/fuzz.py $(N) --seed $(SEED) --kind graphs

fuzz-models: $(READY)
	$(BIN)/python tests/broken_models.py $(N) --seed $(SEED)

mutants: $(READY)
	$(BIN)/python tests/mutants.py

# The other libraries live in an environment of their own, .venv-bench.
bench: .venv-bench/ready
	.venv-bench/bin/python -m benchmarks

bench-compile: $(READY)
	$(BIN)/python -m benchmarks.compile_time

clean:
	rm -rf .venv .venv-bench .venv-long .mypy_cache .pytest_cache .ruff_cache build dist docs/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

.venv-bench/ready: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	touch $@
