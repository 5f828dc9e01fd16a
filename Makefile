# Every target explains itself: make help
SHELL := /bin/bash
.DEFAULT_GOAL := help

TOOLS := $(CURDIR)/.finobs/bin
LINT := $(TOOLS)/golangci-lint-v2.13.2
WORKFLOWCHECK := $(TOOLS)/workflowcheck-v0.6.0
# The race detector needs a C compiler.
RACE := $(shell command -v gcc >/dev/null && echo -race)

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build finobs and finaudit into bin/
	CGO_ENABLED=0 go build -o bin/ ./cmd/...

.PHONY: setup
setup: ## install or build Postgres and Temporal where they are missing
	go run ./cmd/finobs setup

.PHONY: demo
demo: build ## tell the whole story on real input; DEMO_EXIT=1 ends it, otherwise the stack stays up
	./bin/finobs demo

.PHONY: dev
dev: build ## run everything on this machine, with its state in .finobs/
	./bin/finobs dev

.PHONY: up-compose
up-compose: build ## run everything in containers: docker-compose.temporal.yml, docs/deployment.md
	./bin/finobs keys env --dir deploy/compose/secrets
	docker compose -f docker-compose.temporal.yml up --detach --build --wait

.PHONY: test
test: setup ## set up and run all tests
	go test $(RACE) -timeout 25m -parallel 4 ./...

.PHONY: test-full
test-full: ## all cases of the tests of which the race detector takes a part
	go test -count=1 ./internal/fix ./internal/seal ./internal/redteam ./internal/store

.PHONY: fuzz
fuzz: ## fuzz the readers of files and of bundles, each for a minute
	go test -run '^$$' -fuzz FuzzReadFails -fuzztime 1m ./internal/intake
	go test -run '^$$' -fuzz FuzzReadTransactions -fuzztime 1m ./internal/intake
	go test -run '^$$' -fuzz FuzzRead -fuzztime 1m -fuzzminimizetime 1x ./internal/fix
	go test -run '^$$' -fuzz FuzzReadRecords -fuzztime 1m ./internal/intake
	go test -run '^$$' -fuzz FuzzLoadProfile -fuzztime 1m ./internal/recon
	go test -run '^$$' -fuzz FuzzVerify -fuzztime 1m -fuzzminimizetime 1x ./internal/seal
	go test -run '^$$' -fuzz FuzzRead -fuzztime 1m -fuzzminimizetime 1x ./internal/alert
	go test -run '^$$' -fuzz FuzzReadHeartbeats -fuzztime 1m ./internal/event
	go test -run '^$$' -fuzz FuzzLoadSources -fuzztime 1m ./internal/source
	go test -run '^$$' -fuzz FuzzClean -fuzztime 1m -fuzzminimizetime 1x ./internal/agent
	go test -run '^$$' -fuzz FuzzParseTarget -fuzztime 1m ./internal/agent
	go test -run '^$$' -fuzz FuzzSuspect -fuzztime 1m -fuzzminimizetime 1x ./internal/agent
	go test -run '^$$' -fuzz FuzzLoad -fuzztime 1m -fuzzminimizetime 1x ./internal/rulebook
	go test -run '^$$' -fuzz FuzzLoadBudget -fuzztime 1m ./internal/budget
	go test -run '^$$' -fuzz FuzzRead -fuzztime 1m ./internal/sanctions
	go test -run '^$$' -fuzz FuzzLoadRules -fuzztime 1m ./internal/compliance
	go test -run '^$$' -fuzz FuzzReadLabelled -fuzztime 1m ./internal/compliance/labelled
	go test -run '^$$' -fuzz FuzzReadCases -fuzztime 1m -fuzzminimizetime 1x ./internal/rulebook
	go test -run '^$$' -fuzz FuzzLoadBudget -fuzztime 1m -fuzzminimizetime 1x ./internal/budget
	go test -run '^$$' -fuzz FuzzDecode -fuzztime 1m -fuzzminimizetime 1x ./internal/llm
	go test -run '^$$' -fuzz FuzzSpoken -fuzztime 1m -fuzzminimizetime 1x ./internal/llm
	go test -run '^$$' -fuzz FuzzAnswerOfServer -fuzztime 1m -fuzzminimizetime 1x ./internal/llm
	go test -run '^$$' -fuzz FuzzParameters -fuzztime 1m ./internal/action
	go test -run '^$$' -fuzz FuzzDecode -fuzztime 1m ./internal/connector
	go test -run '^$$' -fuzz FuzzLoadConnectors -fuzztime 1m ./internal/connector
	go test -run '^$$' -fuzz FuzzState -fuzztime 1m ./internal/sandbox
	go test -run '^$$' -fuzz FuzzReadIssuers -fuzztime 1m -fuzzminimizetime 1x ./internal/identity
	go test -run '^$$' -fuzz FuzzVerifyAccessToken -fuzztime 1m -fuzzminimizetime 1x ./internal/identity
	go test -run '^$$' -fuzz FuzzRead -fuzztime 1m ./internal/session
	go test -run '^$$' -fuzz FuzzLocalPath -fuzztime 1m ./api
	go test -run '^$$' -fuzz FuzzReadTexts -fuzztime 1m -fuzzminimizetime 1x ./internal/redteam

.PHONY: redteam
redteam: build ## attack the agents of this build, offline, and show what is contained
	./bin/finobs redteam

.PHONY: scale
scale: setup ## compare 10,000 waiting requests with 100, import a file of which 9,643 securities are incidents, and plant every adversarial text
	FINOBS_SCALE=1 go test -count=1 -v -timeout 40m -run 'TestTenThousandPending|TestALargeFileImports|TestPeopleStandOverAgents' ./e2e

.PHONY: e2e-full
e2e-full: setup ## the slow tests, and those that need LibreOffice, which it installs
	command -v soffice >/dev/null || apt-get install -y --no-install-recommends libreoffice-calc
	go test -count=1 -v -run LibreOffice ./internal/export

ONLY ?=
ROUNDS ?= 3
DOCS ?=
.PHONY: bench
bench: setup ## measure against floors in the same run, some 30 minutes; ONLY=gate,http measures these
	go run ./bench -only "$(ONLY)" -rounds $(ROUNDS) $(if $(DOCS),-plots docs/images -doc docs/performance.md)

.PHONY: bench-planted
bench-planted: setup ## show that make bench sees a slow-down: the gate with one planted, against the gate without
	go run ./bench -only "$(or $(ONLY),gate)" -rounds 2 -plots "" -out .finobs/bench-plain.json
	! go run ./bench -only "$(or $(ONLY),gate)" -rounds 2 -plots "" -out .finobs/bench-planted.json -tags slow -against .finobs/bench-plain.json

# benchstat tells noise from change: make bench-micro, keep .finobs/bench-micro.txt
# under another name, change something, make bench-micro BASE=that-file.
BENCHSTAT := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
BASE ?=
.PHONY: bench-micro
bench-micro: ## run the Go benchmarks six times; BASE=file compares with an earlier run by benchstat
	mkdir -p .finobs
	set -o pipefail; go test -run '^$$' -bench . -count 6 ./internal/... | tee .finobs/bench-micro.txt
	$(if $(BASE),go run $(BENCHSTAT) $(BASE) .finobs/bench-micro.txt)

.PHONY: screenshots
screenshots: setup ## make the pictures of the console in docs/images
	FINOBS_SCREENSHOTS=$(CURDIR)/docs/images go test -count=1 -run TestScreenshots ./e2e

.PHONY: chaos
chaos: setup ## 1,000 crashes of the sequencer between commit, sign and publish
	FINOBS_SEEDS=1000 go test -count=1 -timeout 30m -run TestNoCrashForks ./internal/sequencer

.PHONY: histories
histories: setup ## save histories of real executions for the replay test
	FINOBS_SAVE_HISTORIES=$(CURDIR)/workflows/testdata/histories go test -count=1 -run TestSaveHistories ./e2e

.PHONY: check
check: lint determinism ## format, vet, lint, module file, determinism of the workflows
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo "run gofmt -w on the files above" >&2; exit 1; }
	go vet ./...
	go mod tidy -diff

.PHONY: lint
lint: $(LINT) ## lint, strictly: .golangci.yml
	$(LINT) run ./...

.PHONY: determinism
determinism: $(WORKFLOWCHECK) ## look for what would break a replay
	$(WORKFLOWCHECK) ./workflows/...

.PHONY: vulnerable
vulnerable: ## look for known vulnerabilities (needs the public database)
	go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./...

.PHONY: clean
clean: ## remove what was built; state in .finobs/ stays, see finobs dev --reset
	rm -rf bin

$(LINT):
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.13.2
	mv $(TOOLS)/golangci-lint $@

$(WORKFLOWCHECK):
	GOBIN=$(TOOLS) go install go.temporal.io/sdk/contrib/tools/workflowcheck@v0.6.0
	mv $(TOOLS)/workflowcheck $@
