# Rarescreen. `make help` lists what can be made; every result is a file, and only what is stale is made again.
#
#   COHORT      cohort.h5 to work on; by default the embedded phantom
#   PRESET      demo (minutes on two cores; a cohort of 32 px), paper or paper-full (days on a GPU)
#   PROTOCOL    strict or paper
#   CANDIDATES  images to draw;  SIGMA, RULE  how to select;  RESULTS  folder;  DEVICE  auto, cpu, cuda

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

PRESET ?= demo
PROTOCOL ?= strict
DEVICE ?= auto
CANDIDATES ?= 1000
SIGMA ?= 2
RULE ?= union
RESULTS ?= results

# What belongs to a preset: the phantom's size, the folds, and the feature space (the demo downloads no weights).
PHANTOM_SIZE_demo := 32
FOLDS_demo := 0
SPACE_demo := --features lite1
STUDY_paper-full := paper
PHANTOM_SIZE := $(or $(PHANTOM_SIZE_$(PRESET)),256)
FOLDS := $(or $(FOLDS_$(PRESET)),0 1 2 3 4)
STUDY := $(or $(STUDY_$(PRESET)),$(PRESET))
PHANTOM := work/phantom$(PHANTOM_SIZE).h5
COHORT ?= $(PHANTOM)

# One network a fold, or under the paper's protocol one for all, which the tables then say.
PARTS := $(if $(filter paper,$(PROTOCOL)),all,$(FOLDS:%=fold%))
SEEN := $(if $(filter paper,$(PROTOCOL)),--allow-seen)

ifneq ($(words $(COHORT) $(RESULTS)),2)
$(error make cannot work with spaces in names: give COHORT and RESULTS without them, or use the commands of docs/tutorial-own-photographs.md)
endif

NAME := $(subst /,_,$(COHORT:.h5=))-$(PRESET)-$(PROTOCOL)
WORK := work/$(NAME)
GRIDS := $(PARTS:%=$(WORK)/%/gan/table1.json)
BUNDLES := $(PARTS:%=$(WORK)/%/bundle.h5)
PLAN := $(if $(filter demo,$(PRESET)),,$(WORK)/plan.txt)
FIRST := $(WORK)/$(firstword $(PARTS))
OF := $(RESULTS)/.of
SETTINGS := $(NAME) $(CANDIDATES) $(SIGMA) $(RULE)

.PHONY: help setup demo table1 table2 report docs test test-all coverage lint typecheck bench clean FORCE
.SECONDARY:

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo "  options: COHORT=$(COHORT) PRESET=$(PRESET) PROTOCOL=$(PROTOCOL) RESULTS=$(RESULTS)"

setup: $(READY)  ## virtual environment .venv with the pinned versions

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; give make PYTHON=/path/to/python3")'
	@test -x $(BIN)/python || { echo "making $(VENV) and installing into it: minutes, and 5 GB where nothing is cached"; \
	  $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo:  ## the whole job on the phantom cohort, with tables and pictures in results/
	@$(MAKE) --no-print-directory PRESET=demo COHORT=work/phantom32.h5 setup table1 table2 report
	@$(BIN)/python -m shared.results $(RESULTS)

table1: $(RESULTS)/table1.md  ## GAN grid of PRESET on COHORT

table2: $(RESULTS)/table2.md  ## classifiers of PRESET with and without synthetic images

work/phantom%.h5: | $(READY)
	$(BIN)/synth prepare --phantom --size $* --out $@ --force

# What a long grid will take, said before it begins.
$(WORK)/plan.txt: $(COHORT) | $(READY)
	@mkdir -p $(@D)
	set -o pipefail; $(BIN)/synth train $(COHORT) --cells $(PRESET) --fold all --protocol $(PROTOCOL) --device $(DEVICE) \
	  --out $(@D) --dry-run 2>&1 | tee $@

$(WORK)/%/gan/table1.json: $(COHORT) $(wildcard synth/presets/$(PRESET).toml synth/networks/*.safetensors) | $(READY) $(PLAN)
	$(BIN)/synth train $(COHORT) --cells $(PRESET) --fold $(patsubst fold%,%,$*) --protocol $(PROTOCOL) \
	  --device $(DEVICE) --out $(@D)

$(WORK)/%/candidates.h5: $(WORK)/%/gan/table1.json $(OF)
	$(BIN)/synth generate $(<D) --count $(CANDIDATES) --device $(DEVICE) --out $@ --force

$(WORK)/%/bundle.h5: $(WORK)/%/candidates.h5
	$(BIN)/synth select $< --cohort $(COHORT) --network $(WORK)/$*/gan --sigma $(SIGMA) --rule $(RULE) \
	  $(SPACE_$(PRESET)) --device $(DEVICE) --out $@ --force

$(WORK)/table2.json: $(COHORT) $(BUNDLES) $(wildcard classify/presets/$(STUDY).toml)
	$(BIN)/classify study $(COHORT) --preset $(STUDY) --protocol $(PROTOCOL) $(SEEN) --device $(DEVICE) --force \
	  $(BUNDLES:%=--bundle %) --out $(WORK)/models --records $(WORK)/records.jsonl --table $(WORK)/table2.md

# Results are copies, of the study that was asked for last; this file changes only when that does.
FIGURES := $(addprefix table2_,accuracy.png confusion.png curves.png reliability.png)
MADE := $(addprefix $(RESULTS)/,table1.md table1.json table2.md table2.json $(FIGURES) curves.png audit.md \
  scores.png real_vs_synthetic.png borders.png copies.png bundle.h5 images.html images.md report.html)
$(OF): FORCE
	@mkdir -p $(RESULTS)
	@echo '$(SETTINGS)' | cmp -s - $@ || { rm -f $(MADE); echo '$(SETTINGS)' > $@; }

report: $(RESULTS)/report.html  ## both tables and all that is behind them, as one page in results/

$(RESULTS)/report.html: $(RESULTS)/table1.md $(RESULTS)/table2.md
	$(BIN)/synth report $(COHORT) $(PARTS:%=--run $(WORK)/%/gan) $(BUNDLES:%=--bundle %) \
	  --out $(RESULTS)/images.html --force
	$(BIN)/classify report $(WORK)/records.jsonl --page $(RESULTS)/images.html --out $@ --force

$(RESULTS)/table1.md: $(GRIDS) $(OF)
	cp $(FIRST)/gan/table1.json $(RESULTS)/table1.json
	cp $(FIRST)/gan/curves.png $(RESULTS)/curves.png
	cat $(PARTS:%=$(WORK)/%/gan/table1.md) > $@

$(RESULTS)/table2.md: $(WORK)/table2.json $(OF)
	cp $(WORK)/table2.json $(addprefix $(WORK)/,$(FIGURES)) $(RESULTS)
	cp $(FIRST)/bundle.h5 $(RESULTS)/bundle.h5
	cp $(FIRST)/bundle_sheet.png $(RESULTS)/real_vs_synthetic.png
	for picture in scores borders copies; do cp $(FIRST)/bundle_$$picture.png $(RESULTS)/$$picture.png; done
	sed 's/](bundle_sheet/](real_vs_synthetic/; s/](bundle_/](/' $(FIRST)/bundle_audit.md > $(RESULTS)/audit.md
	cp $(WORK)/table2.md $@

docs: $(READY)  ## the documentation as a site, in site/
	$(BIN)/python docs/write_commands.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html is its first page; to search it, open it through: $(BIN)/python -m http.server -d site"

test: $(READY)  ## the test suite, minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

test-all: $(READY)  ## and the long tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

coverage: $(READY)  ## all tests, and which lines they reach
	mkdir -p work/coverage
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -q -n 2 --dist loadfile
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: $(READY)  ## style and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

typecheck: $(READY)  ## strict types on all four packages, and on the benchmarks
	$(BIN)/mypy
	$(BIN)/mypy benchmarks

bench: $(READY)  ## measure a step of the GAN's training beside the machine's own peak
	$(BIN)/python benchmarks/gan_step.py

clean:  ## remove results and intermediate files; .venv stays
	rm -rf work results site build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
