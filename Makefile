# make quickstart    set up, then run the first experiment to its verdict
# make check-env     is all here that a training needs? each line is OK, or says what to do
# make demo          measure results/demo again and fill demo.ipynb in with it; leave the machine alone meanwhile
# make test          set up, then format, lint, types and tests: all that CI checks
# make whole         the tests of the whole line: kills, shards, every ending, the report; minutes
# make overhead      what the harness itself costs, as interleaved ratios; leave the machine alone meanwhile
# make fuzz          10,000 experiment files, 2,000 damaged folders of results, 500 damaged images; minutes
# make gpu           on a machine with a CUDA GPU: evidence first, then its tests, within GPU_MINUTES (default 15)
#
# PYTHON=python3 uses that Python as it is and installs nothing.

VENV   := .venv
PYTHON ?= $(VENV)/bin/python
GPU_MINUTES ?= 15
WORKERS ?= $(shell expr $$(nproc) + 1)
READY  := $(if $(filter $(VENV)/bin/python,$(PYTHON)),$(VENV)/ready)

# A process a cell imports torch again and again: its bytecode is kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: check-env quickstart demo notebook test whole format fuzz overhead gpu reference clean

check-env: $(READY)
	$(PYTHON) bench/check_env.py

quickstart: $(READY)
	$(PYTHON) bench/run_matrix.py experiments/quickstart.toml

demo: $(READY)
	$(PYTHON) bench/run_matrix.py experiments/demo.toml --again ok
	$(MAKE) notebook

notebook: $(READY)
	$(PYTHON) -c "import nbclient, nbformat; n = nbformat.read('demo.ipynb', 4); nbclient.NotebookClient(n, timeout=1200, record_timing=False).execute(); nbformat.write(n, 'demo.ipynb')"

# A file of tests stays with one worker: what it starts for them, a cluster or a training, is started once. bench/, with
# the long ones, comes first by its name, so no core is left alone with one of them at the end. There is a worker more
# than there are cores, for some wait for a cluster.
test: $(READY)
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest -m "not gpu and not whole" --numprocesses $(WORKERS) --maxprocesses 4 \
		--dist loadfile --no-loadscope-reorder

whole: $(READY)
	$(PYTHON) -m pytest -m whole

format: $(READY)
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

fuzz: $(READY)
	AMPBENCH_FUZZ=1 $(PYTHON) -m pytest tests/fuzz

overhead: $(READY)
	$(PYTHON) -m pytest tests/overhead -s

gpu: $(READY)
	$(PYTHON) -m experiments.gpu --minutes $(GPU_MINUTES)

reference: $(READY)
	$(PYTHON) -m bench.store.reference

$(VENV)/ready: requirements.txt requirements-dev.txt
	test -x $(VENV)/bin/python || python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet uv
	$(VENV)/bin/uv pip install --compile-bytecode --python $(VENV) -r requirements.txt -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV)
