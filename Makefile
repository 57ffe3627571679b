# Rarescreen. `make help` lists what can be made; every result is a file, and only what is stale is made again.
#
#   COHORT   cohort.h5 to work on; by default the embedded phantom
#   PRESET   demo (minutes on two cores) or paper (days on a GPU)
#   PROTOCOL strict or paper
#   FOLDS    folds to work on

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

PRESET ?= demo
PROTOCOL ?= strict
COHORT ?= work/phantom.h5
DEVICE ?= auto
FOLDS_demo := 0
FOLDS_paper := 0 1 2 3 4
FOLDS_paper-full := 0 1 2 3 4
FOLDS ?= $(or $(FOLDS_$(PRESET)),0)
STUDY_PRESET := $(patsubst paper-full,paper,$(PRESET))
CANDIDATES ?= 1000
PHANTOM_SIZE ?= 32

NAME := $(basename $(notdir $(COHORT)))-$(PRESET)-$(PROTOCOL)
WORK := work/$(NAME)
RESULTS ?= results
GRIDS := $(FOLDS:%=$(WORK)/fold%/gan/table1.json)
BUNDLES := $(FOLDS:%=$(WORK)/fold%/bundle.h5)
FIRST := $(firstword $(FOLDS))

.PHONY: help setup demo table1 table2 test test-all lint typecheck bench clean
.SECONDARY:

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo "  options: COHORT=$(COHORT) PRESET=$(PRESET) PROTOCOL=$(PROTOCOL) FOLDS=\"$(FOLDS)\" RESULTS=$(RESULTS)"

setup: $(READY)  ## virtual environment .venv with the pinned versions

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; give make PYTHON=/path/to/python3")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo:  ## the whole job on the phantom cohort, with tables and pictures in results/
	@$(MAKE) --no-print-directory PRESET=demo COHORT=work/phantom.h5 setup table1 table2
	@$(BIN)/python -m shared.results $(RESULTS)

table1: $(RESULTS)/table1.md  ## GAN grid of PRESET on COHORT

table2: $(RESULTS)/table2.md  ## classifiers of PRESET with and without synthetic images

work/phantom.h5: | $(READY)
	$(BIN)/synth prepare --phantom --size $(PHANTOM_SIZE) --out $@ --force

$(WORK)/fold%/gan/table1.json: $(COHORT) | $(READY)
	$(BIN)/synth train $(COHORT) --cells $(PRESET) --fold $* --protocol $(PROTOCOL) --device $(DEVICE) --out $(@D)

$(WORK)/fold%/candidates.h5: $(WORK)/fold%/gan/table1.json
	$(BIN)/synth generate $(<D) --count $(CANDIDATES) --device $(DEVICE) --out $@ --force

$(WORK)/fold%/bundle.h5: $(WORK)/fold%/candidates.h5
	$(BIN)/synth select $< --cohort $(COHORT) --network $(WORK)/fold$*/gan --device $(DEVICE) --out $@ --force

$(WORK)/table2.json: $(COHORT) $(BUNDLES)
	$(BIN)/classify study $(COHORT) --preset $(STUDY_PRESET) --protocol $(PROTOCOL) --device $(DEVICE) \
	  $(BUNDLES:%=--bundle %) --out $(WORK)/models --records $(WORK)/records.jsonl --table $(WORK)/table2.md

$(RESULTS)/table1.md: $(GRIDS)
	@mkdir -p $(RESULTS)
	cp $(WORK)/fold$(FIRST)/gan/table1.json $(RESULTS)/table1.json
	cp $(WORK)/fold$(FIRST)/gan/curves.png $(RESULTS)/curves.png
	cat $(FOLDS:%=$(WORK)/fold%/gan/table1.md) > $@

$(RESULTS)/table2.md: $(WORK)/table2.json
	@mkdir -p $(RESULTS)
	cp $(WORK)/table2.json $(RESULTS)/table2.json
	cp $(WORK)/fold$(FIRST)/bundle.h5 $(RESULTS)/bundle.h5
	cp $(WORK)/fold$(FIRST)/bundle_sheet.png $(RESULTS)/real_vs_synthetic.png
	cp $(WORK)/fold$(FIRST)/bundle_scores.png $(RESULTS)/scores.png
	cp $(WORK)/table2.md $@

test: $(READY)  ## the test suite, minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m "not slow"

test-all: $(READY)  ## and the long tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

lint: $(READY)  ## style and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

typecheck: $(READY)  ## strict types on all four packages
	$(BIN)/mypy

bench: $(READY)  ## measure the machine and the slow parts
	$(BIN)/python benchmarks/gan_step.py

clean:  ## remove results and intermediate files; .venv stays
	rm -rf work results build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
