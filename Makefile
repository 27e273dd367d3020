# Everything here sets itself up: a virtual environment in .venv, and the locked dependencies that the target needs.
.DEFAULT_GOAL := help
PYTHON ?= python3
TORCH ?= torch==2.13.0
PIP := .venv/bin/pip install --quiet --disable-pip-version-check
ARGS ?=

help:  ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "make %-14s %s\n", $$1, $$2}'

demo: .venv/.local $(if $(TRAIN),.venv/.train)  ## The whole circle once, narrated, on a real model (TRAIN=1: with a LoRA fine-tune; ARGS="-- --exit --json FILE")
	.venv/bin/rondel demo $(filter-out --,$(ARGS))

test: .venv/.dev  ## Set up and run all tests
	.venv/bin/pytest -q -n 2 --dist loadgroup tests --ignore tests/e2e
	.venv/bin/pytest -q tests/e2e

check: .venv/.dev  ## Format, lint, strict types, import contracts
	.venv/bin/ruff format --check src tests tools benchmarks
	.venv/bin/ruff check src tests tools benchmarks
	.venv/bin/lint-imports --no-logo 2>/dev/null || .venv/bin/lint-imports
	.venv/bin/basedpyright
	.venv/bin/python -m tools.sizes

train: .venv/.train  ## Install what fine-tuning needs (TORCH="torch==2.13.0" from the index that pip is configured for)

fuzz: .venv/.dev  ## Feed tampered requests to the gateway's HTTP edge for FUZZ_S seconds (an hour unless set)
	end=$$(( $$(date +%s) + $${FUZZ_S:-3600} )); while [ $$(date +%s) -lt $$end ]; do \
	  FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-20000} .venv/bin/pytest -q --timeout=0 tests/unit/gateway/test_edge_fuzz.py || exit 1; done

bench: bench-gateway bench-console bench-cache  ## Run the benchmarks there are

wheel: build/compiled/.made  ## A wheel in build/wheel whose hot path is machine code (needs a C compiler and Python's headers)

build/compiled/.made: pyproject.toml mypyc.ini $(shell find src/rondel -name '*.py') | .venv/.dev
	rm -rf build && mkdir build && cp -r src pyproject.toml mypyc.ini README.md LICENSE build  # it compiles in place
	HATCH_BUILD_HOOKS_ENABLE=1 $(subst install,wheel,$(PIP)) --no-deps --no-build-isolation -w build/wheel ./build
	.venv/bin/python -m zipfile -e build/wheel/*.whl build/compiled
	@touch $@

test-compiled: build/compiled/.made  ## The gateway's tests with real workers, on the compiled wheel
	RONDEL_TEST_COMPILED=1 PYTHONPATH=build/compiled .venv/bin/pytest -q -n 2 --dist loadgroup tests/integration/gateway

bench-gateway: .venv/.dev build/compiled/.made  ## The gateway beside nginx, as ratios of CPU time, 6 minutes (PEERS=1: other gateways too, 12)
	.venv/bin/python -m benchmarks.gateway.run $(BENCH)
	$(if $(PEERS),.venv/bin/python -m benchmarks.gateway.peers)

check-speed: .venv/.dev build/compiled/.made  ## Fail where the gateway has become more than a quarter slower than it is kept to be
	.venv/bin/python -m benchmarks.gateway.guard

bench-cache: .venv/.dev  ## False hits of the semantic cache, on the questions in RONDEL_TEST_DATA
	.venv/bin/python -m benchmarks.cache.run --data $(RONDEL_TEST_DATA)

bench-console: .venv/.dev  ## The console in Chromium beside a static page
	.venv/bin/python -m benchmarks.console.run

screenshots: .venv/.dev  ## Take the pictures of the console that README shows
	.venv/bin/python -m tools.screenshots

lock: .venv/.dev  ## Write the lock files anew
	sh tools/lock.sh

clean:  ## Remove the virtual environment and what tests left
	rm -rf .venv build .pytest_cache .ruff_cache .hypothesis .import_linter_cache demo-data

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/.local: requirements/local.txt pyproject.toml | .venv/bin/pip
	$(PIP) --require-hashes -r requirements/local.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements/dev.txt pyproject.toml | .venv/bin/pip
	$(PIP) --require-hashes -r requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.train: requirements/train.txt pyproject.toml | .venv/bin/pip
	$(PIP) "$(TORCH)"
	$(PIP) --require-hashes -r requirements/train.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: help demo test check fuzz train bench bench-gateway check-speed bench-console bench-cache wheel test-compiled screenshots lock clean
