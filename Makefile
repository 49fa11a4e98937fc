# make demo   set up, run the whole loop on the embedded sample, open napari where there is a screen
# make test   set up, then lint, types, import rules and tests
# make results   write docs/results.md and docs/lab/choices.md from the files beside them

BIN := .venv/bin
DEMO := demo

.PHONY: setup demo test lint results

setup:
	@sh scripts/setup.sh

demo: setup
	$(BIN)/segmix demo "$(DEMO)"
	$(BIN)/python scripts/demo_window.py "$(DEMO)"

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/npe2 validate napari_segmix/napari.yaml

results: setup
	$(BIN)/python -m scripts.results

test: lint
	$(BIN)/python -m pytest
