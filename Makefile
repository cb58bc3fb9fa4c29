# flowhft: `make demo` tells the whole story, `make test` checks all of it. Both need only python3 (3.11 or
# newer) and build what they need in .venv, once. Options go behind ARGS: make demo ARGS="--seed 1"
.POSIX:

PYTHON = python3
VENV = .venv
BIN = $(VENV)/bin
ARGS =

help:
	@echo "make demo      the whole story on the bundled recording"
	@echo "make test      all fast tests, on two cores; ARGS=\"-n 0 -k NAME\" for some of them"
	@echo "make test-slow what takes longer than that: up to 45 minutes"
	@echo "make fuzz      spoil what is read for ten minutes, from where it stopped; ARGS=\"--minutes 60 --only npz\""
	@echo "make check     format, lint, layers, types and tests: what a change must pass"
	@echo "make bench     measure the speed of this machine"
	@echo "make policy    train the policy that ships, from nothing, into runs/policy: half an hour"
	@echo "make install   flowhft for use, in $(VENV)"
	@echo "make clean     remove $(VENV) and all caches; results in runs/ stay"

demo: $(VENV)/.installed
	$(BIN)/flowhft demo $(ARGS)

# A file of tests stays with one process, which compiles and prepares for it once; the long ones come first.
WORKERS = -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-for-tests
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

test-slow: $(VENV)/.installed-for-tests
	$(BIN)/python -m pytest $(WORKERS) -m "slow and not gpu" $(ARGS)

check: $(VENV)/.installed-for-tests
	scripts/check

fuzz: $(VENV)/.installed-for-tests
	@cd tests && ../$(BIN)/python -m fuzzing $(ARGS)

bench: $(VENV)/.installed-for-tests
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file" $(ARGS) || exit 1; done

policy: $(VENV)/.installed
	$(BIN)/python scripts/policy $(ARGS)

install: $(VENV)/.installed
	@echo "Installed. Begin with: $(BIN)/flowhft demo"

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: an installation is made again only when what it is made from has changed.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(MAKE) -s venv
	@echo "Installing flowhft into $(VENV): a minute or two, once."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[replay]'
	@touch $@

$(VENV)/.installed-for-tests: pyproject.toml constraints.txt
	@$(MAKE) -s venv
	@echo "Installing flowhft and its test tools into $(VENV): a minute or two, once."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[replay,dev]'
	@touch $(VENV)/.installed $@

# A virtual environment that holds pip; one whose making was interrupted is made anew.
venv:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	    echo "error: '$(PYTHON)' is not installed; flowhft needs Python 3.11 or newer." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "error: $(PYTHON) must be Python 3.11 or newer; received $$($(PYTHON) -V)." >&2; \
	    echo "Name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "error: $(PYTHON) lacks the module venv; on Debian and Ubuntu: sudo apt install python3-venv" >&2; \
	    exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)

.PHONY: help demo test test-slow fuzz check bench policy install clean venv
