# The habits of the project.  Every target works on a fresh machine that has
# Python 3.11 or newer: .ci/setup makes .venv on the first call and returns in
# some milliseconds on every later one.

ROOT := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
BIN := .venv/bin
AT_ONCE := 2
IN := cd '$(ROOT)' && sh .ci/setup &&

.DEFAULT_GOAL := help
.PHONY: help setup run test conformance hostile chaos flaky slurm-show mcp-show refine-show fuzz lint format \
	bench languages lock docker-up docker-down \
	cluster cluster-down clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' '$(ROOT)/Makefile' | while read -r name what; do \
		printf '  make %-12s %s\n' "$$name" "$$what"; done

setup:  ## make .venv from uv.lock (the other targets do so by themselves)
	@$(IN) true

run:  ## validate the packaged example corpus and print the summary
	@$(IN) $(BIN)/hpc-runner run example $(ARGS)

test:  ## every test, in AT_ONCE (2) processes; ARGS are pytest's
	@$(IN) $(BIN)/python -m pytest -n $(AT_ONCE) --dist loadfile $(ARGS)

conformance:  ## one suite for every runtime, and the table of what ran where
	@$(IN) $(BIN)/python -m pytest tests/conformance $(ARGS)

hostile:  ## every attack in every place, and the table of what held
	@$(IN) $(BIN)/python tests/hostile/table.py $(ARGS)

slurm-show:  ## 3,280 programs in 64 shards on a private Slurm cluster, by `submit` and by sbatch (root)
	@$(IN) SLURM_SHOW_COPIES=20 SLURM_SHOW_SHARDS=64 $(BIN)/python -m pytest tests/slurm/test_show.py $(ARGS)

refine-show:  ## HumanEvalPack's 164 buggy programs, mended by a stand-in for a model, here and on Slurm
	@$(IN) REFINE_SHOW_PROBLEMS=164 $(BIN)/python -m pytest tests/refine/test_humanevalfix.py \
		tests/slurm/test_refinement_on_a_cluster.py $(ARGS)

chaos:  ## more than a hundred faults on a private Slurm cluster (root), and the table of what came of them
	@$(IN) $(BIN)/python tests/chaos/campaign.py $(ARGS)

lint:  ## ruff, mypy and the layers
	@$(IN) $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
	@cd '$(ROOT)/slurm' && ../$(BIN)/mypy --strict --explicit-package-bases --scripts-are-modules \
		testcluster testcluster_parts

format:  ## let ruff mend what it can
	@$(IN) $(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench:  ## executions per second, against a bare fork and other harnesses
	@$(IN) $(BIN)/python benchmarks/throughput.py $(ARGS)

mcp-show:  ## fifty accepted programs as MCP servers, each called through the official client
	@$(IN) $(BIN)/python benchmarks/mcp_servers.py $(ARGS)

languages:  ## HumanEvalPack in other languages: CORPORA="humanevalpack_js.jsonl.gz ..."
	@$(IN) $(BIN)/python benchmarks/languages.py $(CORPORA) $(ARGS)

lock:  ## write uv.lock again from pyproject.toml
	@$(IN) sh .ci/uv lock

docker-up:  ## start a private Docker engine in build/docker (root)
	@cd '$(ROOT)' && bash .ci/dockerd start build/docker

docker-down:  ## stop it and remove all that it left
	@cd '$(ROOT)' && bash .ci/dockerd stop build/docker

cluster:  ## start a private Slurm cluster in build/cluster (root) and print how to use it
	@cd '$(ROOT)' && slurm/testcluster up build/cluster $(ARGS)

cluster-down:  ## end it and remove all that it left
	@cd '$(ROOT)' && slurm/testcluster down build/cluster

flaky:  ## 50 votes on programs that are stable: none may be called flaky
	@$(IN) FLAKY_REPETITIONS=50 $(BIN)/python -m pytest tests/flaky/test_flaky_votes.py -k never_called $(ARGS)

fuzz:  ## try every fuzz target for FUZZ_SECONDS (600) in all
	@$(IN) $(BIN)/python tests/fuzz/run.py

clean:  ## remove .venv, build/ and the caches of the tools
	@cd '$(ROOT)' && rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache \
		.hypothesis .import_linter_cache && find hpc_runner tests benchmarks \
		-name __pycache__ -type d -prune -exec rm -rf {} +
