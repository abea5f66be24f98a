# Everything a newcomer needs: `make pretrain` and `make test` set up what they use.
#   make pretrain                                             embedded synthetic streets, any machine
#   make pretrain DATASET=semantickitti ROOT=/data/semantickitti
#   make pretrain ROOT=recordings                             own sweeps: .pcd, .bin, ..., see docs/own-data.md
# DATASET  dataset to read (make datasets lists them)    ROOT  its folder     CACHE  where the groups go
# OUT      where the run goes                            ARGS  more options for the target's last command
# SPLIT    official split that make pretrain and make preprocess take: train, where the dataset always has one, so that
#          nothing is pre-trained on what scores; SPLIT= takes all sequences
ifdef ROOT
DATASET ?= folder
else
DATASET ?= synthetic
endif
ROOT    ?= $(if $(filter synthetic,$(DATASET)),data/synthetic)
CACHE   ?= cache/$(DATASET)
OUT     ?= runs/$(DATASET)
SPLIT   ?= $(if $(filter semantickitti waymo nuscenes argoverse2,$(DATASET)),train)
SEEDS   ?= 0 1 2
# Real samples that make bench scores and reads if present: instance-labelled SemanticKITTI layout; NAME=ROOT
REAL    ?= $(SAMPLES)/semantickitti_from_pandaset
# Its labelled boxes, KITTI's object layout
BOXES   ?= $(SAMPLES)/kitti_detection_from_pandaset
READ    ?= semantickitti=$(SAMPLES)/semantickitti semantickitti=$(REAL) semantickitti=$(SAMPLES)/kitti_raw_as_odometry \
           kitti=$(SAMPLES)/kitti_detection waymo=$(SAMPLES)/waymo_v2_from_pandaset argoverse2=$(SAMPLES)/av2
SAMPLES ?= ../shared/data
# quick, a run of minutes, on the synthetic streets and wherever there is no GPU, else minkunet, the network of ALSO and
# BEVContrast; RECIPE=iscc is the full method on a small one, RECIPE=local_only and the like an ablation.
RECIPE  ?= $(if $(filter synthetic,$(DATASET)),quick,$(if $(shell command -v nvidia-smi),minkunet,quick))
ARGS    ?=
# processes of the tests, some of which wait; 0 works in one, as a debugger needs it
JOBS    ?= 3
SYNTH_ARGS      ?=
PREPROCESS_ARGS ?=
PYTHON  ?= python3
VENV    ?= .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
PIP      = $(BIN)/python -m pip install --quiet --disable-pip-version-check
# make lock and make sbom install their tools here
TOOLS   := .venv-tools

# make finetune and make reproduce learn from one cache and score on another
LEARN   ?= cache/$(DATASET)-train
SCORE   ?= cache/$(DATASET)-test
SPLIT_OF := $(if $(filter synthetic,$(DATASET)),--root data/train,$(if $(ROOT),--root $(ROOT)) --split train)
# make finetune: semseg or detection, with PERCENT of the labels by recipe TUNE
TASK    ?= semseg
PERCENT ?= $(if $(filter detection,$(TASK)),5,1)
TUNE_ON_GPU := $(if $(filter detection,$(TASK)),$(if $(filter waymo,$(DATASET)),waymo,kitti),long)
TUNE    ?= $(if $(shell command -v nvidia-smi),$(TUNE_ON_GPU),quick)
# make reproduce: quick has three experiments and takes an hour on 2 cores, detection adds the second table, full has all
# and needs a GPU. None trains as long as the authors did: full pre-trains for 0.6 epochs of SemanticKITTI, they for 200.
# real and real-full learn from few sweeps of real streets, below SAMPLES in SemanticKITTI's layout, and score on others
PRESET  ?= quick
STREETS := semantickitti/sequences/00 semantickitti_from_pandaset/sequences/40 \
  semantickitti_from_pandaset_001/sequences/42 semantickitti_from_nuscenes/sequences/70
UNLABELLED_STREETS := semantickitti_from_pandaset/sequences/40 kitti_raw_as_odometry/sequences/30
# Synthetic streets that score: what is scored is built otherwise than what is learnt from,
# and hyper-parameters were chosen in a third district (synth.district=suburb, synth.seed=1000).
TEST_STREETS := --set synth.sequences=96 --set synth.sweeps=4 --set synth.seed=3000 --set synth.district=old_town

# pages, with warnings as errors; no network
SPHINX   = $(BIN)/python -m sphinx -W --keep-going -q -c docs -b html . docs/_build

.PHONY: help setup lock sbom datasets synth preprocess pretrain splits splits-full labelled-streets more-streets streets finetune reproduce check docs format test test-all bench evaluate weights clean
.DEFAULT_GOAL := help

help: ## list the targets
	@echo "Targets (DATASET=$(DATASET) ROOT=$(ROOT) CACHE=$(CACHE) OUT=$(OUT)):"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20
	@echo "Options go to the target's last command by ARGS, to an earlier one by SYNTH_ARGS or PREPROCESS_ARGS:"
	@echo "  make pretrain ARGS='--set train.steps=2000' PREPROCESS_ARGS='--workers 4'"

setup: $(READY) ## make the environment in $(VENV)

$(READY): pyproject.toml setup.py requirements.lock constraints.txt $(wildcard */*/native/*.[ch])
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile --require-hashes --no-deps -r requirements.lock
	$(PIP) --no-compile -c constraints.txt torch
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib > $(VENV)/compileall.log || true  # on all cores; pip takes one
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@
	@echo "to use iscc-preprocess, iscc-cache and iscc-train in this shell: source $(BIN)/activate"

lock: $(TOOLS)/bin/uv ## requirements.lock from constraints.txt: the hashes of all files of each release, torch apart
	grep -vE '^(#|torch==)' constraints.txt | $(TOOLS)/bin/uv pip compile - --quiet --generate-hashes --no-deps --universal \
	  --python-version 3.11 --no-annotate --custom-compile-command "make lock" --output-file requirements.lock

sbom: $(READY) $(TOOLS)/bin/cyclonedx-py ## bill of materials of the environment: dist/iscc-lidar.cdx.json (CycloneDX)
	@mkdir -p dist
	$(TOOLS)/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --mc-type library \
	  --output-reproducible --of JSON --output-file dist/iscc-lidar.cdx.json

$(TOOLS)/bin/uv $(TOOLS)/bin/cyclonedx-py:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9 cyclonedx-bom==7.5.0

datasets: $(READY) ## list the datasets that can be read
	@$(BIN)/iscc-preprocess datasets

synth: $(READY) ## write the synthetic streets
	$(BIN)/iscc-preprocess synth $(ROOT) $(SYNTH_ARGS) $(if $(filter synth,$(MAKECMDGOALS)),$(ARGS))

preprocess: $(READY) $(if $(filter synthetic,$(DATASET)),synth) ## sweeps -> cache of groups and occupancy queries
	$(BIN)/iscc-preprocess run $(DATASET) $(if $(ROOT),--root $(ROOT)) --cache $(CACHE) $(if $(SPLIT),--split $(SPLIT)) \
	  $(PREPROCESS_ARGS) $(if $(filter preprocess,$(MAKECMDGOALS)),$(ARGS))
	@$(BIN)/iscc-cache show $(CACHE) --out $(CACHE)-groups.png

pretrain: preprocess ## cache -> pre-trained encoder
	$(BIN)/iscc-train pretrain --cache $(CACHE) --out $(OUT) --resume --recipe $(RECIPE) $(ARGS)
	@echo "picture of the groups: $(CACHE)-groups.png"
	@echo "to use iscc-preprocess, iscc-cache and iscc-train in this shell: source $(BIN)/activate"

splits: $(READY) # the caches that are learnt from and that score
ifeq ($(DATASET),synthetic)
	$(BIN)/iscc-preprocess synth data/train --set synth.sequences=40 $(SYNTH_ARGS)
	$(BIN)/iscc-preprocess run synthetic --root data/train --cache $(LEARN) $(PREPROCESS_ARGS)
	$(BIN)/iscc-preprocess synth data/test $(TEST_STREETS) $(SYNTH_ARGS)
	$(BIN)/iscc-preprocess run synthetic --root data/test --cache $(SCORE) $(PREPROCESS_ARGS)
else
	$(BIN)/iscc-preprocess run $(DATASET) $(if $(ROOT),--root $(ROOT)) --split train --cache $(LEARN) $(PREPROCESS_ARGS)
	$(BIN)/iscc-preprocess run $(DATASET) $(if $(ROOT),--root $(ROOT)) --split val --cache $(SCORE) $(PREPROCESS_ARGS)
endif

finetune: splits ## pre-train, fine-tune for TASK with PERCENT of the labels, score sweeps never seen
	$(BIN)/iscc-train pretrain --cache $(LEARN) --out $(OUT)-split --resume --recipe $(RECIPE)
	$(BIN)/iscc-train finetune $(TASK) --train-cache $(LEARN) --val-cache $(SCORE) --encoder $(OUT)-split --resume \
	  --out $(OUT)-$(TASK) --recipe $(TUNE) --set labels.percent=$(PERCENT) $(ARGS)

# Groups for the experiments ground_kept and single_sweep.
splits-full: splits
	$(BIN)/iscc-preprocess run $(DATASET) $(SPLIT_OF) --cache $(LEARN)-ground-kept --set ground.method=none $(PREPROCESS_ARGS)
	$(BIN)/iscc-preprocess run $(DATASET) $(SPLIT_OF) --cache $(LEARN)-single --set window.sweeps=1 --set window.stride=1 $(PREPROCESS_ARGS)

reproduce: OUT = runs/reproduce-$(DATASET)-$(if $(filter detection,$(PRESET)),quick,$(PRESET))
ifneq ($(filter real%,$(PRESET)),)
reproduce: OUT = runs/reproduce-real
reproduce: streets
	$(BIN)/iscc-train reproduce --preset $(PRESET) --out $(OUT) --cache standard=cache/streets-unlabelled \
	  --cache standard=cache/streets-raw --cache standard=cache/synthetic-train --cache labelled=cache/streets $(ARGS)
else ifeq ($(PRESET),long)
reproduce: splits more-streets
	$(BIN)/iscc-train reproduce --preset long --out $(OUT) --cache standard=$(LEARN) --cache standard=cache/more-streets \
	  --cache labelled=$(LEARN) --test-cache $(SCORE) $(ARGS)
else
reproduce: $(if $(filter full,$(PRESET)),splits-full,splits) ## experiments like the authors', with far shorter pre-training: every one pre-trained, fine-tuned, scored
	$(BIN)/iscc-train reproduce --preset $(PRESET) --out $(OUT) --cache standard=$(LEARN) --test-cache $(SCORE) \
	  $(if $(filter full,$(PRESET)),--cache ground_kept=$(LEARN)-ground-kept --cache single_sweep=$(LEARN)-single) $(ARGS)
endif

more-streets: $(READY) # 1,600 more sweeps to pre-train on
	$(BIN)/iscc-preprocess synth data/more-streets --set synth.sequences=200 --set synth.sweeps=8 --set synth.seed=7000
	$(BIN)/iscc-preprocess run synthetic --root data/more-streets --cache cache/more-streets $(PREPROCESS_ARGS)

labelled-streets: $(READY) # cache of real streets with labels
	mkdir -p data/streets/sequences
	ln -sfn $(abspath $(STREETS:%=$(SAMPLES)/%)) data/streets/sequences
	$(BIN)/iscc-preprocess run semantickitti --root data/streets --cache cache/streets $(PREPROCESS_ARGS)

streets: labelled-streets # and caches of real and synthetic streets to pre-train on
	mkdir -p data/streets-unlabelled/sequences
	ln -sfn $(abspath $(UNLABELLED_STREETS:%=$(SAMPLES)/%)) data/streets-unlabelled/sequences
	$(BIN)/iscc-preprocess run semantickitti --root data/streets-unlabelled --cache cache/streets-unlabelled $(PREPROCESS_ARGS)
	$(BIN)/iscc-preprocess run kitti --root $(SAMPLES)/kitti_raw --cache cache/streets-raw $(PREPROCESS_ARGS)
	$(BIN)/iscc-preprocess synth data/train --set synth.sequences=40
	$(BIN)/iscc-preprocess run synthetic --root data/train --cache cache/synthetic-train $(PREPROCESS_ARGS)

docs: $(READY) ## the documentation as a website: docs/_build/docs/index.html
	$(SPHINX)

check: $(READY) ## lint, types, import boundaries, the documentation, whether what is generated is up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m iscc_lidar.data_schemas --check
	$(BIN)/python docs/commands.py --check
	$(SPHINX)

format: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: $(READY) ## the tests, within 10 minutes on 2 cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $(JOBS) --dist worksteal $(ARGS)

test-all: $(READY) ## all tests, the long ones too, one after the other, so that they can print their counts
	$(BIN)/python -m pytest $(ARGS)

bench: OUT = runs/bench
bench: preprocess ## tables of group quality and speed; the figures, flat, in OUT/bench.json
	$(BIN)/python tests/benchmarks preprocess $(ROOT) --out $(OUT) --real $(REAL) $(READ:%=--adapter %) $(ARGS)
	$(BIN)/python tests/benchmarks streets build/streets --out $(OUT)
	@if test -d $(BOXES); then $(BIN)/python tests/benchmarks boxes $(REAL) $(BOXES) --out $(OUT); fi
	$(BIN)/python tests/benchmarks train --cache $(CACHE) --out $(OUT) --recipe $(RECIPE)

evaluate: preprocess ## pre-train with each of SEEDS, about five CPU minutes each, and score frozen features on streets never seen
	$(BIN)/iscc-preprocess synth data/unseen --set synth.sequences=8 --set synth.seed=3000
	$(BIN)/iscc-preprocess run synthetic --root data/unseen --cache cache/unseen
	set -e; for seed in $(SEEDS); do \
	  $(BIN)/iscc-train pretrain --cache $(CACHE) --out $(OUT)-seed$$seed --resume --recipe $(RECIPE) --set train.steps=1200 --set train.seed=$$seed $(ARGS); \
	  $(BIN)/iscc-train evaluate --run $(OUT)-seed$$seed --train-cache $(CACHE) --val-cache cache/unseen --set seed=$$seed; \
	done

# PandaSet's 52 sweeps are drawn eight times as often as one of the 1,600 of simulated streets.
weights: labelled-streets more-streets ## remake and score the encoder that comes with the package; real streets are read from SAMPLES
	$(BIN)/iscc-preprocess run semantickitti --root $(SAMPLES)/semantickitti_from_pandaset --cache cache/small-pandaset \
	  $(PREPROCESS_ARGS)
	$(BIN)/iscc-train reproduce --preset small --out runs/reproduce-small --cache standard=cache/more-streets \
	  $(foreach n,1 2 3 4 5 6 7 8,--cache standard=cache/small-pandaset) --cache labelled=cache/streets $(ARGS)
	$(BIN)/python tests/tools/install_weights.py runs/reproduce-small/pretrain/surroundings/seed0/encoder.safetensors

clean: ## remove the environment; data, caches and runs stay
	rm -rf $(VENV) $(TOOLS) build dist *.egg-info src/*.egg-info */*/native/_*.so
