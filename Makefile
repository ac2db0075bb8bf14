# Everything works from an empty checkout: each target makes .venv and installs requirements.txt where needed.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: train test lint bench clean
.DELETE_ON_ERROR:

train: $(READY)                ## train on the embedded default; ARGS="--train.epochs 5" passes options on
	@$(BIN)/python train.py $(ARGS)

test: $(READY)                 ## the whole test suite
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

lint: $(READY)                 ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

bench: $(READY)                ## measured ratios; over an hour. PyTorch joins where it is installed: .venv/bin/pip install 'torch==2.13.*'
	@$(BIN)/python -m benchmarks $(ARGS)

$(READY): requirements.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON); install Python 3.11 or: make PYTHON=python3 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) cannot make virtual environments; on Debian: apt install python3.11-venv"; exit 2; }
	@echo "installing into $(VENV) (once; TensorFlow is large)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

clean:                         ## remove the environment; runs/ stays
	rm -rf $(VENV)
