# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
OUT    ?= demo-report
STAMP  := $(VENV)/.installed
LAB    := extensions/fednb-lab
# what shares a process, and in which order: tests/beside.py
BESIDE := -n logical --maxprocesses 4 --dist loadscope --no-loadscope-reorder
# tests start many processes: none compiles again what another has compiled
unexport PYTHONDONTWRITEBYTECODE

# what an installation is made from: a panel that was changed is built and laid out anew
SOURCES := pyproject.toml hatch_build.py scripts/bootstrap.py scripts/fetch_viewer.py \
	$(wildcard extensions/jupyter-server/*.json $(LAB)/*.json $(LAB)/yarn.lock) \
	$(shell find $(LAB)/src $(LAB)/style -type f)

.PHONY: demo test test-long lab lint unit chromium notebooks clean

demo: $(STAMP)  ## the main job on three synthetic hospitals
	$(BIN)/fednb demo --out $(OUT)

test: lint unit notebooks  ## lint, types, import contracts, tests, notebooks

# a fresh wheel; Binder's Dockerfile, and its notebook in 2 GB; stock FLARE beside fednb;
# the viewer in 3D; a server killed while a notebook waits; a million mutated messages
test-long: $(STAMP) chromium  ## what takes longer, and science
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long
	$(BIN)/fednb bench science

lab: $(STAMP)  ## JupyterLab on the first notebook
	$(BIN)/jupyter lab notebooks/01_first_federation.ipynb

lint: $(STAMP)
	$(BIN)/ruff check fednb tests scripts
	$(BIN)/ruff format --check fednb tests scripts
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: $(STAMP) chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -p no:nbmake $(BESIDE) -m "not long"

chromium:  ## for tests/browser; installed where this user may
	$(PYTHON) scripts/install_chromium.py

notebooks: $(STAMP)
	FEDNB_HOME=$$(mktemp -d) $(BIN)/python -m pytest -q --nbmake --nbmake-timeout=600 -W default notebooks

$(STAMP): $(SOURCES)
	$(PYTHON) scripts/bootstrap.py $(VENV)
	touch $@

clean:
	rm -rf $(VENV) $(OUT) build dist
