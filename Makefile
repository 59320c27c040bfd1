# make up      build, then run a country of nodes on this machine: the main job
# make test    install what the tests need, then run every test
# make build   leave bin/fujie, one static binary
# make bench   measure, beside peers and ceilings; reports go to bench/results/
# make bench-institution   what rules, signatures, logs, codes and a take-over cost
# make bench-trace         what events, traces and recalls cost
# make bench-console       how soon the first screens of a running country are there
# make bench-lists         what pages of a list of a million cost
# make soak    the long campaigns: crashes, random operations, fuzzing
# make deb     a Debian package of the program and its systemd units, in dist/

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Debian's versions begin with a digit.
DEBVERSION = $(shell git describe --tags 2>/dev/null | sed -n 's/^v\([0-9]\)/\1/p' | grep . || echo 0.0.0+git$$(git rev-parse --short HEAD 2>/dev/null))
LDFLAGS   = -s -w -X main.version=$(VERSION)
SUDO      = $(shell [ "$$(id -u)" = 0 ] || echo sudo)
FUZZTIME ?= 60s

# What the tests and the bench talk to, from Debian's packages: package, then a file that shows it is there.
TEST_DEPS  = postgresql:/usr/lib/postgresql curl:/usr/bin/curl openssl:/usr/bin/openssl python3:/usr/bin/python3 \
             mariadb-server:/usr/sbin/mariadbd openssh-server:/usr/sbin/sshd openssh-client:/usr/bin/ssh-keygen poppler-utils:/usr/bin/pdftotext \
             libxml2-utils:/usr/bin/xmllint chromium:/usr/bin/chromium fonts-noto-cjk:/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc
BENCH_DEPS = nsd:/usr/sbin/nsd knot:/usr/sbin/knotd

# The packager, run from its source, so that nothing need be installed; a version whose parts can all be had.
NFPM      = github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4
ARCH     ?= $(shell $(GO) env GOARCH)

# What the console is made of. It is built again when one of these changed.
CONSOLE   = console/index.html console/package.json console/package-lock.json console/tsconfig.json console/vite.config.ts console/early.ts \
            $(shell find console/src console/public -type f)

.PHONY: console deb bench-console bench-lists bench-trace bench-institution build up test test-deps bench bench-deps soak race lint clean cross

build: console
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/fujie ./cmd/fujie

# The web face, put where the program takes it in.
console: console/dist/index.html

console/dist/index.html: $(CONSOLE) console/node_modules/.made
	@echo 'building the console'
	cd console && npm run --silent build
	@touch $@

console/node_modules/.made: console/package-lock.json console/package.json
	cd console && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

up: build
	bin/fujie up

test: test-deps build
	cd console && npm test --silent
	$(GO) test -timeout 30m ./...

test-deps:
	@$(call install,$(TEST_DEPS))

bench-deps:
	@$(call install,$(BENCH_DEPS))

bench: bench-deps build
	bin/fujie bench --out bench/results

# The figures of the institution: what rules, signatures, logs, codes and a take-over cost, each beside the bare operation.
bench-institution:
	$(GO) test ./trust/policy -run '^$$' -bench Public -benchtime 1s -count 3
	$(GO) test ./wire/web -run '^$$' -bench SignedQuestion -benchtime 2s
	$(GO) test ./trust/ledger -run '^$$' -bench Proof -benchtime 1s
	FUJIE_RECORDS=300000 $(GO) test ./trust/ledger -run '^$$' -bench Bulk -benchtime 1x
	FUJIE_CODES=10000000 $(GO) test ./mint -run '^$$' -bench . -benchtime 1x
	$(GO) test ./mirror/site -run TestTakeOver -count=3 -v

# The figures of traceability: hashes, capture, queries, traces and recalls, each beside the engine or a PostgreSQL with the same relations.
bench-trace:
	FUJIE_EVENTS=$${FUJIE_EVENTS:-10000000} $(GO) test ./bench -run '^$$' -bench 'Hash|Capture|Trace' -benchtime 200x -timeout 4h
	$(GO) test ./trace/across -run '^$$' -bench Rounds -benchtime 20x

# The figures of long lists: pages of a million identifiers as the console asks for them, beside a thousand and beside the engine's iterator.
bench-lists:
	$(GO) test ./bench -run '^$$' -bench List -benchtime 1000x -timeout 20m

# The figures of the console: how soon its first screens are there, in a browser with an empty cache, of the country that `make up` runs.
bench-console: console/node_modules/.made
	cd console && node test/first.mjs --state $${FUJIE_COUNTRY:-$${XDG_DATA_HOME:-$$HOME/.local/share}/fujie/country/country.json} --md

race:
	$(GO) test -race -timeout 30m ./...

lint: console/node_modules/.made
	cd console && npm run --silent check
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w on these'; exit 1; }

# Every fuzz target for FUZZTIME each, then the tests that FUJIE_SOAK lengthens.
soak: test-deps build
	@set -e; for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; done; done
	FUJIE_SOAK=1 $(GO) test -timeout 6h -count=1 ./...

# The platforms that a release is built for.
cross:
	@set -e; for t in linux/amd64 linux/arm64 linux/loong64 linux/riscv64 darwin/arm64 windows/amd64; do \
	  echo $$t; CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -o /dev/null ./cmd/fujie; done

deb: build
	@mkdir -p dist
	ARCH=$(ARCH) VERSION=$(DEBVERSION) $(GO) run $(NFPM) package --config packaging/nfpm.yaml --packager deb --target dist/

clean:
	rm -rf bin dist console/node_modules && find console/dist -mindepth 1 ! -name empty.txt -delete

# install LIST installs the packages whose file is missing; one apt-get call, and none when all is there.
define install
missing=; for d in $(1); do [ -e "$${d#*:}" ] || missing="$$missing $${d%%:*}"; done; \
if [ -n "$$missing" ]; then echo "installing:$$missing"; \
  $(SUDO) apt-get update -qq && \
  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
endef
