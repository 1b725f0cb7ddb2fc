# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
OUT    ?= demo-report
STAMP  := $(VENV)/.installed

.PHONY: demo test test-long lab bench lint clean

$(STAMP): pyproject.toml
	@$(PYTHON) scripts/bootstrap.py $(VENV)
	@touch $@

demo: $(STAMP)  ## the main job on three synthetic hospitals
	$(BIN)/fednb demo --out $(OUT)

test: $(STAMP) lint  ## lint, types, contracts, tests, notebooks
	$(BIN)/python -m pytest -q -m "not long"
	$(BIN)/python -m pytest -q --nbmake notebooks -o addopts= -p no:cacheprovider

lint: $(STAMP)
	$(BIN)/ruff check fednb tests scripts
	$(BIN)/ruff format --check fednb tests scripts
	$(BIN)/mypy
	$(BIN)/lint-imports

test-long: $(STAMP)  ## what takes longer: fresh wheel, science
	$(BIN)/python -m pytest -q -m long
	$(BIN)/fednb bench science

lab: $(STAMP)  ## JupyterLab on the first notebook
	$(BIN)/jupyter lab notebooks/01_first_federation.ipynb

clean:
	rm -rf $(VENV) $(OUT) build dist
