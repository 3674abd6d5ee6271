# PYTHON=/path/to/python chooses the Python of the environment; ARGS reaches the tests and the benchmarks.
PY := .venv/bin/python
INSTALL := @sh fabra_project/stack/install.sh
# The tests' servers have a folder of their own, so that tests run while the bot does.
STACK := $(PY) -m fabra_project.stack

.PHONY: up test bench lint install

up: install
	@exec $(STACK) up

install:
	$(INSTALL)

test:
	$(INSTALL) dev
	@exec $(STACK) run --fast --data-dir .data/test -- sh -c 'python manage.py prepare_assets && exec pytest "$$@"' sh $(ARGS)

bench: install
	@exec $(STACK) run --data-dir .data/bench -- sh -c 'python manage.py prepare_assets && exec python -m bench "$$@"' sh $(ARGS)

# Types are read from the settings, which name servers but do not ask them.
lint:
	$(INSTALL) dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@DATABASE_URL=postgresql:///lint REDIS_URL=redis://lint SECRET_KEY=lint $(PY) -m mypy .
