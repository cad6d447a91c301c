# Everything starts here: `make demo` shows what EdgeMM does, `make test` runs every test, `make quick` those that take a moment.
# All make their own environment in .venv and need only Python >= 3.10 and make.
#
#   PYTHON=python3.12          another interpreter
#   ARGS="-k host -x"          further arguments for the command behind a target
#   EDGEMM_APT=no              never install system packages

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
SOURCES := edgemm plugins exporters devices tests
DESK := plugins/digit_desk
DECLARED := .venv/pyvenv.cfg pyproject.toml $(DESK)/pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test quick oldest aarch64 fuzz mutants soak check fix bench data clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

venv: .venv/.test  ## make .venv with everything that development needs

demo: .venv/.demo  ## the whole main job: export the shipped model, stream its sample clip, write a report
	$(BIN)/edgemm demo $(ARGS)

test: .venv/.test  ## run all tests, then the checks
	@.ci/apt
	$(BIN)/python -m pytest $(ARGS)
	@$(MAKE) --no-print-directory check

quick: .venv/.test  ## run the tests that export, compile and package nothing: under a minute and a half on two cores
	$(BIN)/python -m pytest -m "not (export or engines or packaging or slow)" --durations=5 $(ARGS)

fuzz: .venv/.fuzz  ## give the readers of files changed ones, 100,000 of each format (ARGS="manifest --cases 2000"; docs/testing.md)
	$(BIN)/python tests/fuzz/fuzz.py $(ARGS)

mutants: .venv/.mutants  ## break the code place by place, see which tests notice (ARGS=streaming: one room; docs/testing.md)
	$(BIN)/python tests/mutation/mutate.py $(ARGS)

oldest: .venv-oldest/.done  ## run the tests on the oldest versions that pyproject.toml admits (docs/testing.md)
	.venv-oldest/bin/python -m pytest -m "not (export or engines or packaging or slow)" $(ARGS)

aarch64: .venv/.test  ## install the wheel for aarch64, run it under emulation, compare its answers with this machine's
	$(BIN)/python tests/packaging/aarch64.py

soak: .venv/.test  ## stream for 20 minutes with faults that come and go: memory, threads, files, lateness, every packet (ARGS="--minutes 5")
	$(BIN)/python tests/soak/soak.py $(ARGS)

check: .venv/.test  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: .venv/.test  ## let ruff repair and format what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.test  ## run the benchmarks, each measured beside what it is compared with
	@broken=; for file in tests/benchmarks/bench_*.py; do \
	  echo "== $$file"; $(BIN)/python "$$file" $(ARGS) || broken="$$broken $$file"; done; \
	test -z "$$broken" || { echo "broken:$$broken"; exit 1; }

data: .venv/.test  ## prepare the reference model's training data
	$(BIN)/python -m edgemm_digit_desk.prepare $(ARGS)

clean:  ## remove what was built, and caches; .venv stays
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .mutants .venv-oldest .aarch64 .fuzz
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call install,extras,extras of the reference model): TensorRT-RTX's wheels exist for few platforms, so what cannot have them goes
# without.
define install
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[$(1),tensorrt-rtx]' -e '$(DESK)$(2)' || { \
	  echo "TensorRT-RTX cannot be installed here: its engines are skipped."; \
	  $(BIN)/python -m pip install -qq -c constraints.txt -e '.[$(1)]' -e '$(DESK)$(2)'; }
endef

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "EdgeMM needs Python 3.10 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12"; exit 3; }
	@echo "making .venv with $$($(PYTHON) -V 2>&1)"
	@$(PYTHON) -m venv .venv || { \
	  rm -f $@; echo "the venv module is incomplete; on Debian and Ubuntu: apt-get install python3-venv"; exit 3; }

.venv-oldest/.done: pyproject.toml $(DESK)/pyproject.toml constraints.txt .venv/.test
	@echo "installing the oldest versions in .venv-oldest (a minute)"
	@rm -rf .venv-oldest
	@$(PYTHON) -m venv .venv-oldest
	@$(BIN)/python tests/packaging/floors.py > .venv-oldest/floors.txt
	@.venv-oldest/bin/python -m pip install -qq -c .venv-oldest/floors.txt -e '.[dev]' -e '$(DESK)[dev]'
	@touch $@

.venv/.demo: $(DECLARED)
	@echo "installing EdgeMM with what the demo needs (PyTorch, ONNX, PyAV; a few minutes the first time)"
	$(call install,media$(,)export)
	@touch $@

.venv/.test: $(DECLARED)
	@echo "installing EdgeMM with everything that its tests need (a few minutes the first time)"
	$(call install,all$(,)dev,[dev])
	@touch $@ .venv/.demo

.venv/.fuzz: .venv/.test
	@echo "installing the fuzzer"
	$(call install,all$(,)dev$(,)fuzz)
	@touch $@

.venv/.mutants: .venv/.test
	@echo "installing the mutation tester"
	$(call install,all$(,)dev$(,)mutation)
	@touch $@

, := ,
