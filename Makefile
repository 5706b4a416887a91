# Every target makes what it needs: a virtual environment in .venv, the build, the packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests start a thousand processes: each would compile the package again.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
NATIVE := $(shell find native -type f) CMakeLists.txt pyproject.toml
CYTHON := $(wildcard fastfeed/_core/*.pyx fastfeed/_core/*.pxd)

.PHONY: help demo dev test bench lint format native-test model asan protos wheel clean

help:
	@echo "make demo         a simulator and a live view of its ticks (Ctrl-C ends it)"
	@echo "make test         all tests"
	@echo "make bench        the benchmarks beside their peers, in one run"
	@echo "make lint         formatting, style, types"
	@echo "make native-test  the C tests: plain, address + undefined, thread sanitizer"
	@echo "make model        the models of the protocols in shared memory, by spin"
	@echo "make asan         the Python tests under AddressSanitizer"
	@echo "make dev          the development environment in $(VENV)"
	@echo "make wheel        dist/*.whl and dist/*.tar.gz"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip

# The demo needs only what a user needs.
$(VENV)/.demo: $(BIN)/python $(NATIVE) $(CYTHON)
	$(PIP) install --group build
	$(PIP) install --no-build-isolation --editable '.[cli]'
	@touch $@

# The development environment; builds again only when C or Cython changed.
$(VENV)/.dev: $(VENV)/.demo
	$(PIP) install --group dev
	@touch $@

dev: $(VENV)/.dev

demo: $(VENV)/.demo
	@exec $(BIN)/fastfeed demo

# A file of tests is one process's: what its tests share is made once.
test: $(VENV)/.dev
	$(BIN)/pytest -n auto --dist loadfile

bench: $(VENV)/.dev
	$(BIN)/pytest bench --benchmark-enable --benchmark-only

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror $$(find native -name '*.[ch]')
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $$(find native -name '*.[ch]')

native-test: $(VENV)/.dev
	@for kind in release address,undefined thread; do \
	    sanitize=$$kind; if [ $$kind = release ]; then sanitize=; fi; \
	    dir=build/native-$$(echo $$kind | tr , -); \
	    $(BIN)/cmake -S native -B $$dir -G Ninja -DCMAKE_MAKE_PROGRAM="$(abspath $(BIN))/ninja" \
	        -DFASTFEED_SANITIZE=$$sanitize >/dev/null && \
	    $(BIN)/cmake --build $$dir && \
	    $(BIN)/ctest --test-dir $$dir --output-on-failure --parallel $$(nproc) || exit 1; \
	done

model:
	@$(PYTHON) native/model/run.py

# A second environment that sees the packages of the first, with a build of our own that is instrumented.
asan: $(VENV)/.dev
	$(PYTHON) -m venv build/asan/venv
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	    > $$(build/asan/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth
	PATH="$(abspath $(BIN)):$$PATH" build/asan/venv/bin/python -m pip --disable-pip-version-check -q install \
	    --no-build-isolation --no-deps --force-reinstall -C cmake.build-type=Debug -C build-dir=build/asan/build \
	    -C cmake.define.FASTFEED_SANITIZE=address,undefined .
	cd tests && LD_PRELOAD=$$(gcc -print-file-name=libasan.so) PYTHONMALLOC=malloc \
	    ASAN_OPTIONS=detect_leaks=0 ../build/asan/venv/bin/python -m pytest unit property -p no:cacheprovider

protos: $(VENV)/.dev
	for vendor in opend longport; do \
	    $(BIN)/python -m grpc_tools.protoc -Iprotos \
	        --descriptor_set_out=fastfeed/protocols/$$vendor.binpb protos/$$vendor.proto || exit 1; \
	done

wheel: $(BIN)/python
	$(PIP) install build
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
