# PYTHON=/path/to/python chooses the Python of the environment; ARGS reaches the tests and the benchmarks.
PY := .venv/bin/python
INSTALL := @sh fabra_project/stack/install.sh
# The tests' servers have a folder of their own, so that tests run while the bot does.
STACK := $(PY) -m fabra_project.stack

.PHONY: up test bench lint lock install

up: install
	@exec $(STACK) up

install:
	$(INSTALL)

test:
	$(INSTALL) dev
	@exec $(STACK) run --fast --data-dir .data/test -- sh -c 'python manage.py prepare_assets && exec pytest "$$@"' sh $(ARGS)

bench: install
	@exec $(STACK) run --data-dir .data/bench -- sh -c 'python manage.py prepare_assets && exec python -m bench "$$@"' sh $(ARGS)

# Types are read from the settings, which can do without servers for that.
lint:
	$(INSTALL) dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@FABRA_WITHOUT_STACK=1 SECRET_KEY=lint $(PY) -m mypy .

# The pins for every Python that the project promises, from the lowest patch of 3.11 that a Debian ships. What is pinned
# already stays, unless requirements.in asks for another or ARGS says so: make lock ARGS="--upgrade-package soupsieve".
LOCK := .venv/bin/uv pip compile --quiet --universal --python-version 3.11.2 --fork-strategy fewest \
    --no-strip-extras --annotation-style line --custom-compile-command "make lock"

lock:
	$(INSTALL)
	@$(LOCK) $(ARGS) requirements.in --output-file requirements.txt
	@$(LOCK) $(ARGS) requirements-dev.in --output-file requirements-dev.txt
