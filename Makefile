# `make run` and `make test` are all that a newcomer needs; each sets up what it lacks.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
SOURCES := pyproject.toml requirements/runtime.lock

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

# The lock files are complete: with --no-deps pip takes just them, and a release of today cannot break it.
# Editable without build isolation: the build backend, too, comes from the lock file with its hash.
.venv/.runtime: $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "logbridge needs Python 3.11 or newer; try make PYTHON=python3.12")'
	@echo "Setting up .venv, once; it takes about half a minute."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/runtime.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: .venv/.runtime requirements/dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/dev.lock
	@touch $@

.venv/.bench: .venv/.runtime requirements/bench.lock
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/bench.lock
	@touch $@

.venv/.fuzz: .venv/.dev requirements/fuzz.lock
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/fuzz.lock
	@touch $@

setup: .venv/.runtime ## make .venv with .venv/bin/logbridge

run: setup ## start the log service and the bridge together
	@$(BIN)/logbridge dev

browser: # the browser of the page tests, where this user may install it
	@command -v chromium >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } || true

# RUNLEVEL=1: the package must not start a server of its own.
nginx: # the proxy of the smuggling tests, and one of those in deploy/, where this user may install it
	@PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
	  { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nginx-light >/dev/null; } || true

caddy: # another of the proxies in deploy/, where this user may install it
	@command -v caddy >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
	  { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends caddy >/dev/null; } || true

prometheus: # Prometheus and promtool for the test of the metrics, where this user may install them
	@command -v prometheus >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
	  { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus >/dev/null; } || true

systemd: # systemd-analyze for the test of the units, where this user may install it; it starts nothing
	@command -v systemd-analyze >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
	  { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends systemd >/dev/null; } || true

node: # Node and npm for the clients in clients/, where this user may install them
	@command -v npm >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null; } || true

nats: # nats-server for the tests of the spool in JetStream, where this user may install it
	@command -v nats-server >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
	  { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nats-server >/dev/null; } || true

# Else each process that a test starts would compile all of logbridge anew, where the machine forbids to keep it.
test: export PYTHONDONTWRITEBYTECODE =
test: .venv/.dev browser nginx caddy prometheus systemd node nats ## all tests, with coverage
	@rm -f .coverage .coverage.*
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --cov --cov-report=term $(ARGS)

faketime: # libfaketime, which steps the clock of a process, where this user may install it
	@ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libfaketime >/dev/null; } || true

chaos: .venv/.dev faketime ## kill, cut and fill up real processes, then count: CHAOS_S=180 CHAOS_SEED=...
	@$(BIN)/python -m tests.chaos $(ARGS)

attack: .venv/.dev ## everything at once on real processes, good clients beside it: ATTACK_S=60
	@$(BIN)/python -m tests.attack --seconds $(or $(ATTACK_S),60) $(ARGS)

cluster: .venv/.dev nats ## NATS servers and log services, killed under load, then count: CLUSTER_S=60
	@$(BIN)/python -m tests.cluster --seconds $(or $(CLUSTER_S),60) $(ARGS)

fuzz: .venv/.fuzz ## coverage-guided fuzzing of the entrances: FUZZ_S=60 FUZZ_SEED=1
	@$(BIN)/python -m fuzz --seconds $(or $(FUZZ_S),60) --seed $(or $(FUZZ_SEED),1) $(ARGS)

# 15 to 25 minutes; ARGS="--list" names the scenarios, ARGS="--only writes-200" measures one.
bench: .venv/.bench ## measure beside the obvious design and Envoy; writes docs/performance.md
	@$(BIN)/python -m benchmarks $(ARGS)

bench-quick: .venv/.bench ## under a minute: fails when a ratio or counted work got worse
	@$(BIN)/python -m benchmarks --quick $(ARGS)

bench-soak: .venv/.bench ## memory over ten minutes at full load: SOAK_S=600
	@$(BIN)/python -m benchmarks --soak-s $(or $(SOAK_S),600) $(ARGS)

capacity: .venv/.dev ## machines for a rate, from the last report: ARGS="--logs-s 100000", ARGS=--help
	@$(BIN)/python -m benchmarks.capacity $(ARGS)

bench-console: .venv/.dev browser ## the console in a browser: when it is useful, and while logs pour in
	@$(BIN)/python -m benchmarks.console $(ARGS)

flamegraph: .venv/.bench ## docs/benchmarks/flame.svg: where a write spends its time
	@$(BIN)/python -m benchmarks.flame $(ARGS)

top-picture: .venv/.dev ## docs/images/top.svg: logbridge top before a busy bridge
	@$(BIN)/python -m tests.top_picture

lint: .venv/.dev ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

typescript: .venv/.dev browser node ## the TypeScript client: install, build, all its tests
	cd clients/typescript && npm ci && npm run typecheck && npm run lint && npm run build && npm test

typescript-types: .venv/.dev node ## its document and its types anew, after a change of the API
	$(BIN)/logbridge openapi > clients/typescript/openapi.json
	cd clients/typescript && npm ci && npm run types

proto: .venv/.dev ## generate the protobuf code from proto/
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=src/logbridge/adapters/grpc \
	  --pyi_out=src/logbridge/adapters/grpc proto/logservice.proto

lock: ## renew requirements/*.lock (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate $(UPGRADE) pyproject.toml --extra dev -o requirements/dev.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate -c requirements/dev.lock pyproject.toml requirements/build.in -o requirements/runtime.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate -c requirements/dev.lock requirements/build.in -o requirements/build.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate -c requirements/dev.lock pyproject.toml --extra nats --extra otel -o requirements/image.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate -c requirements/dev.lock pyproject.toml --extra bench -o requirements/bench.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate -c requirements/dev.lock pyproject.toml --extra fuzz -o requirements/fuzz.lock

wheel: .venv/.dev ## build dist/*.whl
	$(BIN)/python -m build --no-isolation --wheel

clean: ## remove what was made
	rm -rf .venv dist build .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	rm -rf clients/*/node_modules clients/*/dist

.PHONY: help setup run browser nginx caddy prometheus systemd node nats test typescript typescript-types faketime chaos cluster attack fuzz bench bench-quick bench-soak capacity bench-console flamegraph top-picture lint proto lock wheel clean
