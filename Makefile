# Every target works on a fresh machine: it makes .venv by itself, once, and again when the dependencies change.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench weights docs clean

demo: .venv/ready  ## paint an example with its boxes and score every instance
	$(BIN)/scenograph paint examples/breakfast.json --model tiny-gligen --seed 0 --out out/breakfast.png
	$(BIN)/scenograph judge out/breakfast.png --out out/demo.png
	@echo "out/demo.png: the boxes, the picture, and what the judge sees in it"

test: .venv/ready  ## the whole suite except what is marked slow, on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/ready  ## style, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/ready  ## measure guidance at the size of Stable Diffusion 1.5, into results/
	$(BIN)/scenograph bench speed --readme README.md

weights: .venv/ready  ## train every embedded model again; continues where it stopped
	$(BIN)/scenograph train all

docs: .venv/ready  ## write docs/cli.md from the help texts
	$(BIN)/python -c 'from scenograph.cli import reference; print(reference(), end="")' > docs/cli.md

clean:  ## forget the environment and what the program wrote while working
	rm -rf .venv out build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "scenograph needs Python 3.11 or newer, found $$($(PYTHON) --version); name one with make PYTHON=python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
