# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
OUT    ?= demo-report
STAMP  := $(VENV)/.installed

.PHONY: demo test test-long lab lint unit chromium notebooks clean

demo: $(STAMP)  ## the main job on three synthetic hospitals
	$(BIN)/fednb demo --out $(OUT)

test: lint unit notebooks  ## lint, types, import contracts, tests, notebooks

test-long: $(STAMP)  ## what takes longer: a fresh wheel, science
	$(BIN)/python -m pytest -m long
	$(BIN)/fednb bench science

lab: $(STAMP)  ## JupyterLab on the first notebook
	$(BIN)/jupyter lab notebooks/01_first_federation.ipynb

lint: $(STAMP)
	$(BIN)/ruff check fednb tests scripts
	$(BIN)/ruff format --check fednb tests scripts
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: $(STAMP) chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not long"

chromium:  ## for tests/browser; installed where this user may
	$(PYTHON) scripts/install_chromium.py

notebooks: $(STAMP)
	FEDNB_HOME=$$(mktemp -d) $(BIN)/python -m pytest -q --nbmake --nbmake-timeout=600 -W default notebooks

$(STAMP): pyproject.toml scripts/bootstrap.py
	$(PYTHON) scripts/bootstrap.py $(VENV)
	touch $@

clean:
	rm -rf $(VENV) $(OUT) build dist
