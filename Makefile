# Every target sets up what it needs; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOG ?= ./sightlog-log
ROUNDS ?= 50

# Where Python may not keep what it compiled, each process compiles its packages anew: Ray's start alone takes
# 22 seconds of a core then, and 6 otherwise.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo index test test-slow lint format kill soak soak-brief bench docs lock clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 11

demo: $(VENV)/.installed ## render a short video, index it, ask what happened at 00:45
	@$(BIN)/sightlog demo

index: $(VENV)/.installed ## index your own video: make index VIDEO=path
	@test -n "$(VIDEO)" || { echo "name the video: make index VIDEO=path/to/video.mp4" >&2; exit 2; }
	@$(BIN)/sightlog index "$(VIDEO)" --log "$(LOG)" --events

# Four workers on two cores: many tests wait, for a camera or for Ray.
PYTEST := $(BIN)/python -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev ## run the tests, but for the slow ones
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/.dev ## run the tests that kill and interrupt whole commands, and the fuzzers
	$(PYTEST) -m slow

lint: $(VENV)/.dev ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

kill: $(VENV)/.dev ## kill random processes of a run, ROUNDS times; the log must not differ
	$(BIN)/python -m benchmarks.kill --rounds $(ROUNDS)

soak: $(VENV)/.dev ## a 3-hour file, then 16 cameras for 30 minutes: every process's memory, drops, files
	$(BIN)/python -m benchmarks.soak
	$(BIN)/python -m benchmarks.live_soak --streams 16 --minutes 30

soak-brief: $(VENV)/.dev ## the same 16 cameras for 2 minutes: drops, holes, files, shared memory
	$(BIN)/python -m benchmarks.live_soak --brief

bench: $(VENV)/.dev ## measure, write benchmarks/results/*.json and the README's tables
	$(BIN)/python -m benchmarks.all

docs: $(VENV)/.dev ## write the generated documents
	$(BIN)/python docs/build.py

lock: $(VENV)/.installed ## resolve the dependencies anew
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-annotate --python-version 3.11 pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-annotate --python-version 3.11 --group dev pyproject.toml -o requirements-dev.lock

clean: ## remove what make made
	rm -rf $(VENV) .demo

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "sightlog needs Python 3.11 or newer; try: make PYTHON=python3.11" >&2; exit 2; }
	@echo "installing into $(VENV) (once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check uv
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $@

# torch for the CPU, without what it would pull in for a GPU: uv does not find such a build, pip does
$(VENV)/.dev: $(VENV)/.installed requirements-dev.lock Makefile
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps torch==2.13.0
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --compile-bytecode \
	  torchvision==0.28.0 qwen-vl-utils==0.0.14 accelerate==1.15.0
	@touch $@
