# Everything that a contributor runs. CI runs `bash .ci/run`, which calls these.
export CGO_ENABLED ?= 0
GO      ?= go
BIN     ?= bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
TOOLS   := internal/devtools
PLATFORMS := linux/amd64 linux/arm64 linux/riscv64 darwin/arm64 windows/amd64 freebsd/amd64

.PHONY: build test race vet lint fmt tidy cross check bench bench-peers torture demo servers spin mutants sqlite-veryquick sqlite-full sqlite-mptest sqlite-ci wasm wasm-accept wasm-bench clean

build: ## the program, static, into bin/
	$(GO) build -trimpath -ldflags '-s -w -X github.com/boule-db/boule.versionString=$(VERSION)' -o $(BIN)/boule ./cmd/boule

test: ## every test; needs nothing but Go
	$(GO) test ./...

race: ## every test under the race detector (which needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short -timeout 20m ./...

vet:
	$(GO) vet ./...

lint: ## golangci-lint, from the pinned tools module
	cd $(TOOLS) && $(GO) build -o ../../$(BIN)/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	$(BIN)/golangci-lint run ./...

fmt: ## gofumpt, from the pinned tools module
	cd $(TOOLS) && $(GO) build -o ../../$(BIN)/gofumpt mvdan.cc/gofumpt
	@out=$$($(BIN)/gofumpt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi

tidy: ## go.mod says exactly what is used
	$(GO) mod tidy -diff
	$(GO) mod verify

cross: ## the program for every platform that it is meant for
	@for p in $(PLATFORMS); do \
	  echo "build $$p"; GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/boule || exit 1; \
	  GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) vet ./... || exit 1; done

check: fmt tidy vet lint test race cross ## what CI runs, without the S3 servers

servers: ## the store suite against real S3 servers on loopback (installs them)
	bash .ci/servers/run-store-suite.sh

bench: ## one table, measured as ratios within one run, and the limits that it must keep; BENCH=-quick: in a minute
	$(GO) run ./conformance/bench $(BENCH)

bench-peers: ## the same work by C SQLite, mattn, modernc and Litestream (if on PATH), to a real S3 server (needs gcc); PEERS=-quick
	cd conformance/bench-peers && $(GO) run . $(PEERS)

DURATION ?= 30m
SEED     ?= 0
torture: ## real processes, killed and stopped, with stores that fail; needs the stock sqlite3; SEED=0 takes the time
	$(GO) run ./conformance/torture --duration $(DURATION) --seed $(SEED) $(TORTURE)

demo:
	$(GO) run ./cmd/boule demo

spin: ## the model of the spool protocol, in every state (needs spin and gcc)
	$(GO) run ./conformance/promela

mutants: ## break the code in one place at a time: a test must notice
	$(GO) run ./conformance/mutants

sqlite-veryquick sqlite-full sqlite-mptest sqlite-ci: ## SQLite's own tests over our VFS (conformance/sqlite; needs gcc, Tcl, apt)
	bash conformance/sqlite/run.sh $(@:sqlite-%=%)

wasm: ## rebuild embed/sqlite3.wasm and compare; WASM=--accept replaces it (embed/README.md; needs clang-22, npm, apt)
	bash embed/build/build.sh $(WASM)

wasm-accept: ## go-sqlite3's own tests with embed/sqlite3.wasm
	bash embed/build/accept.sh

wasm-bench: ## embed/sqlite3.wasm against go-sqlite3's own binary
	$(GO) test -run '^$$' -bench AgainstStock -benchtime 7x ./embed

clean:
	rm -rf $(BIN)
