# Everything works from an empty checkout: each target makes .venv and installs what it needs, once. `train` needs the
# core alone (requirements.txt), all else the extra `dev` of pyproject.toml.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# One test process more than cores: the tests that wait for killed and signalled programs leave a core idle.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
CORE := $(VENV)/.core
READY := $(VENV)/.ready

.PHONY: train test lint bench gpu-check docs notebooks reproduce witnesses clean
.DELETE_ON_ERROR:

train: $(CORE)                 ## train on the embedded default; ARGS="--train.epochs 5" passes options on
	@$(BIN)/python train.py $(ARGS)

test: $(READY)                 ## the whole test suite
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(READY)                 ## ruff: rules and format; basedpyright: types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python scripts/check_types.py

bench: $(READY)                ## measured ratios; over an hour. PyTorch joins where `make witnesses` has installed it
	@$(BIN)/python -m benchmarks $(ARGS)

gpu-check: $(CORE)             ## a GPU against the processor and against Keras; at most five minutes
	@$(BIN)/python -m keras_cnn doctor --gpu $(ARGS)

docs: $(VENV)/.docs            ## the book, in docs/_build/html; a warning is an error
	@$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "docs/_build/html/index.html"

notebooks: $(VENV)/.docs       ## executes the notebooks on tiny data and keeps their output
	@$(BIN)/python notebooks/execute.py

reproduce: $(CORE)             ## the experiments of the five reports that wait: make reproduce ARGS="--data cifar10 --hours 4"
	@$(BIN)/python scripts/reproduce.py $(ARGS)

witnesses: $(VENV)/.witnesses  ## PyTorch and Captum, whose answers the tests compare with ours; without them those tests are skipped

$(VENV)/.witnesses: $(READY)
	@$(BIN)/pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'tqdm>=4.67,<5'
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps 'captum==0.9.*' 'torchvision==0.28.*'
	@touch $@

$(VENV)/.docs: $(CORE)
	@echo "installing Sphinx and Jupyter's kernel into $(VENV) (once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

$(READY): $(CORE)
	@echo "installing what tests and checks need into $(VENV) (once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(CORE): requirements.txt pyproject.toml setup.py
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON); install Python 3.11 or: make PYTHON=python3 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) cannot make virtual environments; on Debian: apt install python3.11-venv"; exit 2; }
	@echo "installing into $(VENV) (once; TensorFlow is large)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

clean:                         ## remove the environment; runs/ stays
	rm -rf $(VENV)
