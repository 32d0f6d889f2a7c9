# Needs python3 (3.11 or newer, with venv) and make, nothing else. Packages come from wherever pip is told to look.
PYTHON ?= python3
export VENV ?= .venv
BIN = $(VENV)/bin
PYTEST = $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
TEST_LOCKS = base dev $(if $(filter 1,$(OPSDESK_NO_BROWSER)),,browser)
SOURCES = accounts approvals auditlog integrations opsdesk workflows manage.py
TOO_OLD = "opsdesk needs Python 3.11 or newer, this is %s: name another, as in make run PYTHON=python3.12" % sys.version.split()[0]
INSTALL = @$(PYTHON) -c 'import sys; sys.exit($(TOO_OLD) if sys.version_info < (3, 11) else 0)' && $(PYTHON) requirements/install.py
# What `check --deploy` is to see: the values of a real desk. Nothing is reached.
PRODUCTION = OPSDESK_PRODUCTION=1 OPSDESK_ALLOWED_HOSTS=desk.example OPSDESK_BASE_URL=https://desk.example \
	OPSDESK_SECRET_KEY=0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ \
	OPSDESK_FIELD_KEYS=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE= \
	DATABASE_URL=postgresql://desk@db.example/desk REDIS_URL=redis://redis.example BROKER_URL=redis://redis.example/1

.DEFAULT_GOAL := help
.PHONY: help run reset test test-long check bench lock

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

run: ## start the desk and keep it running until Ctrl-C
	$(INSTALL) base
	@exec $(BIN)/python manage.py up

reset: ## throw the desk's data away, after asking
	$(INSTALL) base
	@exec $(BIN)/python manage.py reset

# One more than a small machine has cores: whole desks mostly wait. Long tests that take times run alone.
test test-long: TEST_PROCESSES ?= 3

test: ## run every test but the long ones (OPSDESK_NO_BROWSER=1 leaves the browser's packages out)
	$(INSTALL) $(TEST_LOCKS)
	@$(PYTEST) -m "not long" $(ARGS)

test-long: ## run the long tests: crashes, faults, many races
	$(INSTALL) $(TEST_LOCKS)
	@$(PYTEST) -m long $(ARGS)

check: ## lint, types, imports, templates, migrations, settings
	$(INSTALL) base dev
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/bandit --quiet --severity-level high --recursive $(SOURCES)
	@$(BIN)/mypy --no-error-summary $(SOURCES)
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/djlint --quiet --lint templates
	@$(BIN)/python -W "ignore:Got an error checking a consistent" manage.py makemigrations --check --dry-run
	@$(BIN)/python manage.py check
	@$(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING

bench: ## measure; ONLY=name measures one figure
	$(INSTALL) base dev $(if $(wildcard requirements/bench.txt),bench)
	@$(BIN)/python -m benchmarks $(ONLY)

lock: ## remake the locks from requirements/*.in (UPGRADE=1 takes newer versions)
	$(INSTALL) base dev
	@BIN=$(BIN) requirements/lock $(if $(UPGRADE),--upgrade)
