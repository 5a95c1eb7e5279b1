# make           builds bin/cairn; make CGO=0 a static one, without PKCS#11
# make run       builds and starts a CA out of ./cairn-data
# make test      installs what the tests need and runs all of them
# make test-long the same, several times over and without cached results
# make bench     sets Cairn beside Pebble
# make fuzz      runs each fuzz target for FUZZTIME
# make generate  makes the generated code anew

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS     := -s -w -X main.version=$(VERSION)
STATICCHECK ?= go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
CADDY       ?= v2.11.9
FUZZTIME    ?= 30s
TESTFLAGS   ?=

# Debian packages of the tests: a C compiler for the race detector, a
# database, real ACME clients, and OpenSSL to check what Cairn makes.
PACKAGES := $(shell cat test/debian-packages.txt)

.PHONY: build run test test-long test-packages check test-binaries bench fuzz generate clean

# Keys on PKCS#11 tokens need cgo, and so a C compiler. The rest of a binary is
# the same with and without: name look-ups stay in Go.
CC_FOUND    := $(shell command -v $$(go env CC) 2>/dev/null)
CGO         ?= $(if $(CC_FOUND),1,0)

build:
	@if [ '$(CGO)' = 0 ]; then echo 'without PKCS#11 support: that needs a C compiler and CGO=1' >&2; fi
	CGO_ENABLED=$(CGO) go build -tags netgo,osusergo -trimpath -ldflags '$(LDFLAGS)' -o bin/cairn ./cmd/cairn

run: build
	bin/cairn serve

# What waits for databases, clients and processes rather than shares memory is
# run without the race detector, which makes SQLite five times slower; of the
# store, the tests of what it shares between goroutines are run with it.
PLAIN := ./sa ./test/chaos ./test/interop ./test/pkcs11 ./test/perspectives ./test/dnssec

test: test-packages check test-binaries build/ctlog
	CAIRN_TEST_CTLOG=$(CURDIR)/build/ctlog CAIRN_TEST_BINARY=$(CURDIR)/build/cairn-race \
		go test -race -timeout 18m $(TESTFLAGS) $$(go list ./... | grep -vxF "$$(go list $(PLAIN))")
	go test -race -timeout 18m $(TESTFLAGS) -run 'Group|Transaction|Writer|RPC$$|TestSQLite$$/RaceClaims' ./sa
	CAIRN_TEST_BINARY=$(CURDIR)/build/cairn go test -timeout 18m $(TESTFLAGS) $(PLAIN)

test-long: test-packages check test-binaries build/ctlog build/caddy-$(CADDY)
	CAIRN_TEST_LONG=1 CAIRN_TEST_CADDY=$(CURDIR)/build/caddy-$(CADDY) \
	CAIRN_TEST_CTLOG=$(CURDIR)/build/ctlog \
	CAIRN_TEST_BINARY=$(CURDIR)/build/cairn-race go test -race -count=5 -timeout 3h $(TESTFLAGS) ./...

# The latest Caddy: minutes of building, so that `make test` takes Debian's.
build/caddy-$(CADDY):
	GOBIN=$(CURDIR)/build/gobin go install github.com/caddyserver/caddy/v2/cmd/caddy@$(CADDY)
	mv build/gobin/caddy $@

# The CT log that tests submit to: minutes of building, once.
build/ctlog: test/ctlog/main.go test/ctlog/go.mod
	go build -C test/ctlog -o $(CURDIR)/build/ctlog .

# The binaries that the tests across services run, with and without the race
# detector: one build for all test packages.
test-binaries:
	go build -o build/cairn ./cmd/cairn
	go build -race -o build/cairn-race ./cmd/cairn

check:
	@unformatted="$$(gofmt -l .)"; if [ -n "$$unformatted" ]; then \
		echo "not formatted; run gofmt -w on:" $$unformatted >&2; exit 1; fi
	go vet ./...
	go vet -C test/ctlog .
	$(STATICCHECK) ./...

test-packages:
	@command -v dpkg-query >/dev/null || { \
		echo "this is not Debian: the tests need what the packages $(PACKAGES) have there" >&2; exit 0; }; \
	missing=""; for p in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	sudo=""; if [ "$$(id -u)" != 0 ]; then sudo=sudo; fi; \
	echo "installing$$missing"; \
	$$sudo apt-get update -q; \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing

bench:
	go run ./test/load compare

fuzz:
	@for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | cut -c6-); do \
			echo "$$dir $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$dir; \
		done; \
	done

generate:
	go generate ./...

clean:
	rm -rf bin build
