# hotreload: make help

GO      ?= go
BIN     := bin/hotreload
PACKAGES := ./...
export GOFLAGS ?= -buildvcs=false

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: tools-php build ## start `hotreload watch` on examples/prefork; save examples/prefork/app/handler.php and see it served
	$(BIN) watch

.PHONY: test
test: tools-test ## everything that must pass: gofmt, vet, staticcheck, tests with the race detector
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	$(GO) vet $(PACKAGES)
	GOOS=darwin $(GO) vet $(PACKAGES)
	$(GO) tool staticcheck $(PACKAGES)
	$(GO) test -race $(PACKAGES)

.PHONY: build
build: ## build bin/hotreload
	$(GO) build -trimpath -ldflags '-s -w' -o $(BIN) ./cmd/hotreload

.PHONY: bench
bench: tools-bench build ## measure: latency, bursts, big trees, stale rounds, beside inotifywait and entr
	$(GO) run ./cmd/hotreload-bench -hotreload $(BIN)

.PHONY: chaos
chaos: tools-php build ## kill -9 at random moments of every command, full disks; exit 1 when something that must hold does not
	$(GO) run ./cmd/hotreload-bench -hotreload $(BIN) -only chaos

.PHONY: fuzz
fuzz: ## run each fuzz target for 30 seconds
	@for p in $$($(GO) list $(PACKAGES)); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			$(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 30s $$p || exit 1; \
		done; \
	done

.PHONY: clean
clean: ## remove what was built
	rm -rf bin examples/*/runtime

# Tools come from Debian's packages, and only where they are missing and may be installed.

.PHONY: tools-php
tools-php:
	@sh .ci/need php:php-cli

.PHONY: tools-test
tools-test:
	@sh .ci/need php:php-cli 'php-fpm*:php-fpm' git:git gcc:gcc rsync:rsync cap:capistrano

.PHONY: tools-bench
tools-bench:
	@sh .ci/need php:php-cli inotifywait:inotify-tools entr:entr
