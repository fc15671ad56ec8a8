# make demo: from an empty checkout to a report in one command; make test: the checks and the whole suite.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := demo

.PHONY: help demo test test-half test-rest test-long check format bench bench-openvino bench-int8 bench-measurements stock-tables fitted-forms clean

help:
	@echo "make demo       install into .venv, run everything on the embedded images, print where the report is"
	@echo "make test       install into .venv, then check and the test suite"
	@echo "make check      ruff, mypy, import layers (seconds)"
	@echo "make test-long  the tests that take minutes"
	@echo "make bench      what each activation costs, into benchmarks/activations.json and README.md (minutes, on an idle machine)"
	@echo "make bench-openvino  what each activation costs in OpenVINO, into benchmarks/openvino.json and README.md (minutes, idle)"
	@echo "make bench-int8  what INT8 costs with each activation, into benchmarks/int8.json and README.md (minutes, on an idle machine)"
	@echo "make bench-measurements  whether verdicts of bench and verify can be believed, into benchmarks/ and README.md (an hour, idle)"
	@echo "make format     ruff format and its automatic fixes"
	@echo "make stock-tables  compile the catalogue's tables anew (after a change of tables.py or of a definition)"
	@echo "make fitted-forms  fit the catalogue's forms anew (after a change of forms/ or of a definition)"
	@echo "make clean      remove .venv, demo and caches"

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/edgeacts run --out $(DEMO) --width 0.35 --epochs 6 --batch-size 64

# Two processes at once, one for each core of a small machine, with their outputs one after the other where make can.
HALF := tests/acceleration tests/latency tests/parity tests/quantization
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not long"
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

test: $(STAMP) check
	$(MAKE) --no-print-directory -j2 $(SYNC) test-half test-rest

test-half: $(STAMP)
	$(PYTEST) $(HALF)

test-rest: $(STAMP)
	$(PYTEST) $(HALF:%=--ignore=%) --ignore=tests/training
	$(PYTEST) tests/training  # sends itself signals: a process of its own

test-long: $(STAMP)
	$(BIN)/python -m pytest -q -m long

check: $(STAMP)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	$(BIN)/python benchmarks/activations.py --into README.md

bench-openvino: $(STAMP)
	$(BIN)/python benchmarks/openvino_forms.py --into README.md

bench-int8: $(STAMP)
	$(BIN)/python benchmarks/int8.py --into README.md

bench-measurements: $(STAMP)
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/parity.py
	$(BIN)/python benchmarks/measurements.py --into README.md

stock-tables: $(STAMP)
	$(BIN)/python -c "from edgeacts.tables import stock_book; print(stock_book(), end='')" > $(VENV)/stock_tables.json
	mv $(VENV)/stock_tables.json edgeacts/acceleration/stock_tables.json

fitted-forms: $(STAMP)
	$(BIN)/python -c "from edgeacts.forms.generating import fitted_book; print(fitted_book(), end='')" > $(VENV)/fitted.json
	mv $(VENV)/fitted.json edgeacts/forms/fitted.json

clean:
	rm -rf $(VENV) $(DEMO) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build dist
