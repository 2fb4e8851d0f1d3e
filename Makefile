# The commands of this repository; CI runs the same ones.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-slow lint docs setup schema testbed families sizes paper clean

# Whole files run side by side, since the tests of one share what takes long to set up.
JOBS ?= 2
SIDE_BY_SIDE = -n $(JOBS) --dist loadfile

demo: $(READY) ## the whole study on the embedded testbed; ends with the path of the report
	$(BIN)/mixmerge demo

test: $(READY) ## the default tests; with ARGS=--cov they must reach the share of lines in pyproject.toml
	$(BIN)/pytest $(SIDE_BY_SIDE) $(ARGS)

test-slow: $(READY) ## the tests that take minutes
	$(BIN)/pytest $(SIDE_BY_SIDE) -m slow $(ARGS)

lint: $(READY) ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY) ## the documentation, built strictly into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

testbed: $(READY) ## rebuild the testbed's facts, tokenizer and weights from scratch
	$(BIN)/python -m tools.testbed.pretrain src/mixmerge/testbed/weights/cliff --names
	$(BIN)/python -m tools.testbed.align src/mixmerge/testbed/weights/aligned

families: $(READY) ## pairs of ten languages, merged, against distances between languages
	test -d models/wide || $(BIN)/python -m tools.testbed.pretrain models/wide --wide
	$(BIN)/python -m paper.families runs/families --seeds 5

sizes: $(READY) ## the paper's claims on base models of four widths
	for width in 64 192 256; do test -d models/testbed-$$width || \
	  $(BIN)/python -m tools.testbed.pretrain models/testbed-$$width --hidden $$width || exit; done
	$(BIN)/python -m paper.sizes runs/paper --seeds 3

paper: $(READY) ## the paper's whole grid over five seeds, and the page; goes on where it stopped
	$(BIN)/python -m paper runs/paper --seeds 5

schema: $(READY) ## the JSON Schema of study files, for editors
	$(BIN)/python -c "import json; from mixmerge.study.spec import Study; \
	  print(json.dumps(Study.model_json_schema(), indent=1))" > docs/study.schema.json

setup: $(READY)

# torch comes first and by exact version: an unpinned one may bring gigabytes of GPU libraries.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --editable .
	touch $(READY)

clean:
	rm -rf .venv build site runs
