# `make` lists the targets. Each sets up .venv by itself: once, and anew when Python or a lock changes.

PYTHON ?= python3
PORT ?= 8000
WORKERS ?= 2

version := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
bin := .venv/bin
reader := .venv/reader-$(version)
developer := .venv/developer-$(version)
real := .venv/data-$(version)
cluster := .venv/dask-$(version)
peers := .venv/bench/peers-$(version)
as_root := $(if $(filter 0,$(shell id -u)),--allow-root) # JupyterLab refuses to run as root unless it is told to

# Each file in one process, so that a notebook's cells run in their order; the notebooks first, since they take longest.
in_processes := --numprocesses=$(WORKERS) --dist=loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup hook book zip serve pdf pdf-twice lab data dask test matrix test-binder test-site plain links \
  audit notebooks numbers symbols terms bench study mutants lint lock release-check release clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(developer) $(real) $(cluster) ## once, for whoever changes the book: all that the other targets need but a browser
	@echo "Set up in .venv. Checks before each commit, if you want them: make hook"

hook: $(developer) ## have Git run the checks of `make lint` before each commit
	$(bin)/pre-commit install

book: $(reader) ## build the site from the stored outputs; a warning is an error
	@rm -rf _build/html # or a page that the book no longer has would stay
	@$(bin)/python book/_ext/pyodide_files.py # what runs in the pages; without it they have no Run button
	$(bin)/jupyter-book build . --all -W --keep-going -n
	@echo "Open _build/html/index.html in a browser, or type: make serve"

zip: ## the site with one file of itself, to be read offline: _build/html/_static/cosine-similarity-book.zip
	@BOOK_ZIP=1 $(MAKE) --no-print-directory book

serve: book ## build the site and show it at localhost (PORT=8000)
	$(bin)/python -m http.server --bind localhost --directory _build/html $(PORT)

pdf: $(reader) ## the book as a PDF of A4 pages; it says which LaTeX to install; the next `make book` offers it
	$(bin)/python -m tools.pdf

pdf-twice: pdf ## make the PDF again: the same bytes
	cp _build/pdf/cosine-similarity-book.pdf _build/first.pdf
	@$(MAKE) --no-print-directory pdf
	cmp _build/first.pdf _build/pdf/cosine-similarity-book.pdf

lab: $(reader) ## read and run the book in JupyterLab (NB=book/NN_name.ipynb opens that one)
	$(bin)/jupyter lab $(as_root) --LabApp.default_url=/lab/tree/$(or $(NB),book/01_cosine_and_dot_product.ipynb) \
	  --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate

data: $(real) ## install the real data of chapter 12, some hundred megabytes

dask: $(cluster) ## install Dask, for spectra on several cores or computers: 31 megabytes

test: $(developer) $(real) $(cluster) ## unit tests, and every stored output of every notebook compared anew (COSTS=1)
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(bin)/python -m pytest --nbval $(in_processes) $(if $(COSTS),-p tools.costs) book tests
	@$(bin)/python book/_ext/provenance.py

matrix: $(developer) ## the same outputs everywhere, some hours: Pythons, packages, kernels, folders (ONLY="oldest kernel-Zen")
	$(bin)/python -m tools.matrix $(ONLY) $(if $(TESTS),--tests $(TESTS))

test-site: book $(developer) ## the site in a headless browser: links, accessibility, weight, print (CHROMIUM=/path)
	$(bin)/python -m pytest site_tests

test-binder: $(developer) ## open and run the notebooks as Binder does, without Docker (NB=… for one)
	$(bin)/python -m tools.binder $(NB)

plain: book $(developer) ## build the site by plain Sphinx, without Jupyter Book: the same, and with the newest versions
	$(bin)/python -m tools.plain

links: $(reader) ## whether links to outside still lead somewhere (needs the network)
	$(bin)/python -m tools.links

audit: $(developer) ## known advisories on the locked versions (needs the network)
	$(bin)/python -m tools.advisories

notebooks: $(real) $(cluster) ## execute the notebooks anew and store their outputs (NB=book/NN_name.ipynb for one)
	$(bin)/python -m tools.notebooks $(NB)

numbers: $(reader) ## bind the numbers of the text to the cells that compute them (NB=… for one, CHOICES=file)
	@$(bin)/python -m tools.bindings $(if $(CHOICES),--choices $(CHOICES)) $(NB)

symbols: $(reader) ## write the chapters' boxes of symbols, and "first used", from the notation page
	@$(bin)/python -m tools.symbols --write

terms: $(reader) ## link the words of the glossary where each chapter first uses them
	@$(bin)/python -m tools.terms --write

bench: $(peers) ## time the spectrum and the simulation against their competitors (some 30 minutes)
	.venv/bench/bin/python benchmarks/spectra.py
	.venv/bench/bin/python benchmarks/simulation.py

study: $(reader) ## compute the tables of long studies anew (some hours; the four last ones go on where they stopped)
	$(bin)/python studies/seeds.py
	$(bin)/python studies/remedies.py
	$(bin)/python studies/minibatch.py
	$(bin)/python studies/deep.py run
	$(bin)/python studies/graded.py
	$(bin)/python studies/losses.py
	$(bin)/python studies/scale.py

mutants: $(developer) $(real) $(cluster) ## small faults that no test notices (MODULES="gauge audit", CHANGED=1, SAMPLE=100)
	$(bin)/python -m tools.mutants $(if $(CHANGED),--changed) $(if $(BASE),--base=$(BASE)) $(if $(SAMPLE),--sample=$(SAMPLE)) \
	  $(if $(SEED),--seed=$(SEED)) $(if $(PART),--part=$(PART)) $(if $(OWN),--own) $(if $(SURVIVORS),--survivors) $(MODULES)

lint: $(developer) ## check the style, the format and the type hints of the code
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy

lock: $(developer) ## resolve the requirements files anew from pyproject.toml
	$(bin)/python tools/lock.py

release-check: $(developer) ## whether all files agree on the version (TAG=v0.2.0: and are ready to be released as it)
	$(bin)/python -m tools.release check "$$TAG"

release: $(developer) ## the files of a release with their checksums and notes, in _build/release (TAG=v0.2.0)
	$(bin)/python -m tools.release check "$${TAG:?is missing, such as TAG=v0.2.0}"
	@$(MAKE) --no-print-directory pdf zip
	$(bin)/python -m tools.release collect "$$TAG"

clean: ## remove what the targets above have built, .venv apart
	rm -rf _build .mypy_cache .pytest_cache .ruff_cache

# A stamp is the last thing that a set-up writes, and the first that the next one removes.
$(reader): requirements.txt .binder/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer, please: make PYTHON=python3.11")'
	@rm -f .venv/reader-* .venv/developer-* .venv/data-* .venv/dask-*
	$(PYTHON) -m venv --clear .venv
	$(bin)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

$(developer): $(reader) requirements-dev.txt
	$(bin)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@

$(real): $(reader) requirements-data.txt
	$(bin)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-data.txt
	@touch $@

$(cluster): $(reader) requirements-dask.txt
	$(bin)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dask.txt
	@touch $@

# Peers stay apart from what the book needs. Whoever wants PyTorch in the table adds it: .venv/bench/bin/pip install torch
$(peers): $(reader) requirements-bench.txt
	$(PYTHON) -m venv --clear .venv/bench
	.venv/bench/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-bench.txt
	@touch $@
