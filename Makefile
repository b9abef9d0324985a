# The commands of this project. Each works on a fresh Debian with a Rust toolchain.

CARGO ?= cargo
TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
DIST := target/dist/origin-guard
FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?= head response chunked session proxy_protocol
FUZZ_FLAGS ?=
# What `make run` runs once it is built.
RUN ?= target/release/origin-guard

PREFIX ?= /usr/local
DESTDIR ?=
BINARY ?= $(DIST)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
ARTIFACTS := target/release-artifacts
UNITS := $(DESTDIR)$(PREFIX)/lib/systemd/system
SHARE := $(DESTDIR)$(PREFIX)/share

.PHONY: run test check advisories docs dist order install deb image sbom release bench timing differential fuzz clean

# Builds and serves with a one-time secret in front of a backend that answers with what
# reaches it, or in front of BACKEND where that is set; prints the line that tries it at the
# address that it really listens at.
run:
	$(CARGO) build --locked --release
	@folder=$$(mktemp -d); backend=; \
	trap 'kill $$backend 2>/dev/null; rm -rf "$$folder"' EXIT; trap 'exit 130' INT TERM; \
	if [ -z "$$BACKEND" ]; then \
		mkfifo "$$folder/url"; \
		$(RUN) demo-backend 127.0.0.1:0 >"$$folder/url" & backend=$$!; \
		read -r BACKEND <"$$folder/url"; \
	fi; \
	secret=$$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n'); \
	{ SHARED_SECRET=$$secret BACKEND=$$BACKEND LISTEN=$${LISTEN:-127.0.0.1:8888} $(RUN) 2>&1; \
	echo $$? >"$$folder/status"; } | \
	while IFS= read -r line; do \
		printf '%s\n' "$$line"; \
		case $$line in \
		*"listening address=unix:"*) at="--unix-socket $${line##*address=unix:} http://localhost" ;; \
		*"listening address="*) at=http://$$(printf %s "$${line##*address=}" | \
			sed 's/^0\.0\.0\.0:/127.0.0.1:/; s/^\[::\]:/[::1]:/') ;; \
		*) continue ;; \
		esac; \
		printf '\ntry it; without the header it is refused:\n\n'; \
		printf '  curl -i -H "X-Shared-Secret: %s" %s/hello\n\n' "$$secret" "$$at"; \
	done; \
	exit "$$(cat "$$folder/status")"

# All tests. With REQUIRE_ALL=1 a test that is skipped for want of a server fails.
test:
	$(CARGO) test --locked --no-fail-fast

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --document-private-items

	# What only the fuzz targets and the timing use, no other build compiles.
	RUSTFLAGS='--cfg fuzzing' $(CARGO) check --manifest-path tests/fuzz/Cargo.toml --target-dir target/fuzz-check
	RUSTFLAGS='--cfg timing' $(CARGO) check --manifest-path tests/timing/Cargo.toml --target-dir target/timing-check

	command -v cargo-deny >/dev/null || $(DENY)
	$(CARGO) deny --locked check bans licenses sources

# An optimised cargo-deny takes four times as long to build and is no quicker here.
DENY = CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install --locked --debug --root target/tools cargo-deny
export PATH := $(CURDIR)/target/tools/bin:$(PATH)

# Whether a crate has a known fault; it fetches the database of RustSec.
advisories:
	command -v cargo-deny >/dev/null || $(DENY)
	$(CARGO) deny --locked check advisories

# The pages that are made from tables.
docs:
	$(CARGO) run --locked --quiet -- print configuration >docs/configuration.md

# The static binary. Its relocations are packed, which ld and glibc can do from Debian 12
# on; the last line but one fails where they cannot. Where the sources and the crates lie
# leaves no trace in it: whoever builds the same commit with the same compiler gets the
# same bytes. What runs at the start and for usual requests lies together, which saves 1.3 MB
# at rest.
DIST_FLAGS = $(LINK_FLAGS) -C link-arg=-Wl,-T,$(CURDIR)/$(ORDER)
ORDER = src/deploy/dist/order.ld
# The names of functions are those that the order is written in.
LINK_FLAGS = -C target-feature=+crt-static \
	-C symbol-mangling-version=v0 -C link-arg=-Wl,-z,pack-relative-relocs \
	--remap-path-prefix=$(CURDIR)=/origin-guard \
	--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo
# The same for what crates hold in C and assembly.
DIST_CFLAGS = -ffile-prefix-map=$(CURDIR)=/origin-guard \
	-ffile-prefix-map=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo
dist:
	RUSTFLAGS='$(DIST_FLAGS)' CFLAGS='$(DIST_CFLAGS)' $(CARGO) build --locked --release --target $(TARGET)
	mkdir -p $(dir $(DIST))
	install -m 0755 target/$(TARGET)/release/origin-guard $(DIST)
	$(DIST) --version
	cd $(dir $(DIST)) && sha256sum $(notdir $(DIST)) >SHA256SUMS

# Binary, units, man page, completions and docs; then `systemctl daemon-reload`. BINARY is what is installed.
install: $(if $(filter $(DIST),$(BINARY)),dist)
	install -D -m 0755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/origin-guard
	mkdir -p $(UNITS)
	for unit in unit:origin-guard.service socket:origin-guard.socket \
		gateway-socket:origin-guard-gateway.socket; do \
		$(BINARY) print $${unit%%:*} | sed 's|/usr/local/|$(PREFIX)/|g' >$(UNITS)/$${unit#*:} && \
		chmod 0644 $(UNITS)/$${unit#*:} || exit 1; \
	done
	mkdir -p $(SHARE)/man/man8 $(SHARE)/bash-completion/completions \
		$(SHARE)/zsh/vendor-completions $(SHARE)/fish/vendor_completions.d $(SHARE)/doc/origin-guard
	$(BINARY) print man >$(SHARE)/man/man8/origin-guard.8
	$(BINARY) print completions-bash >$(SHARE)/bash-completion/completions/origin-guard
	$(BINARY) print completions-zsh >$(SHARE)/zsh/vendor-completions/_origin-guard
	$(BINARY) print completions-fish >$(SHARE)/fish/vendor_completions.d/origin-guard.fish
	install -m 0644 docs/*.md docs/*.png CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE-* \
		$(SHARE)/doc/origin-guard/
# There the docs lie beside it.
	sed 's|(docs/|(|g' README.md >$(SHARE)/doc/origin-guard/README.md
	chmod 0644 $(SHARE)/doc/origin-guard/README.md

# The package for Debian, of BINARY, in target/release-artifacts.
deb: $(if $(filter $(DIST),$(BINARY)),dist)
	src/deploy/deb/build $(abspath $(BINARY)) $(VERSION) $(ARTIFACTS)

# The image: the one file, for any user, on a root that nobody can write to. HEALTHCHECK is
# in Docker's format alone.
image: $(if $(filter $(DIST),$(BINARY)),dist)
	src/deploy/image/build $(abspath $(BINARY)) $(VERSION) $(ARTIFACTS)

# Which functions lie together in the static binary: those that valgrind sees run. For a
# change of what runs, or of the compiler; needs valgrind, openssl and lld, which is the
# compiler's own on x86-64. cargo does not see that the order is new.
order:
	mkdir -p target/order
	CARGO_PROFILE_RELEASE_STRIP=none RUSTFLAGS='$(LINK_FLAGS) -C link-arg=-Wl,-Map=$(CURDIR)/target/order/map' \
		$(CARGO) build --locked --release --target $(TARGET) --target-dir target/order
	src/deploy/dist/order target/order/$(TARGET)/release/origin-guard target/order/map
	touch src/main.rs

# What the binary is made of, in CycloneDX's form.
sbom:
	command -v cargo-cyclonedx >/dev/null || CARGO_PROFILE_DEV_DEBUG=0 \
		$(CARGO) install --locked --debug --root target/tools cargo-cyclonedx
	mkdir -p $(ARTIFACTS)
	$(CARGO) cyclonedx --format json --spec-version 1.5 --override-filename sbom
	mv sbom.json $(ARTIFACTS)/origin-guard-$(VERSION).cdx.json

# All that a release has, and its sums.
release: dist
	rm -rf $(ARTIFACTS)
	mkdir -p $(ARTIFACTS)
	install -m 0755 $(DIST) $(ARTIFACTS)/origin-guard-$(VERSION)-$(TARGET)
	$(MAKE) deb image sbom
	$(CARGO) package --locked --allow-dirty --no-verify
	cp target/package/origin-guard-$(VERSION).crate $(ARTIFACTS)/
	cd $(ARTIFACTS) && sha256sum -- * >SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS

bench: dist
	python3 tests/bench/run.py
	python3 tests/bench/relay.py
	python3 tests/bench/overload.py
	python3 tests/bench/paths.py
	python3 tests/bench/fronts.py
	python3 tests/bench/keys.py
	python3 tests/bench/edge.py
	python3 tests/bench/tls.py

# A worker that is run in place is in no other build.
timing:
	RUSTFLAGS='--cfg timing' $(CARGO) run --release --manifest-path tests/timing/Cargo.toml --target-dir target/timing

# Holds what real servers understand against what the guard logs, 5,000 generated requests
# for each; `make test` sends 500.
differential:
	DIFFERENTIAL=$${DIFFERENTIAL:-5000} $(CARGO) test --locked --test differential -- --nocapture

# The parsers and the whole session, ten minutes each, from known inputs on where there are
# some. FUZZ_FLAGS="-s none" is faster: no sanitizer, which safe code hardly needs.
# RUSTC_BOOTSTRAP stands for the nightly that the sanitizers want.
fuzz:
	command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	FUZZ_SEEDS=$(CURDIR)/target/fuzz/seeds $(CARGO) test --test seeds
	for target in $(FUZZ_TARGETS); do \
		mkdir -p target/fuzz/found/$$target target/fuzz/seeds/$$target && \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $(FUZZ_FLAGS) --fuzz-dir tests/fuzz --target-dir target/fuzz \
			$$target $(CURDIR)/target/fuzz/found/$$target \
			$(CURDIR)/target/fuzz/seeds/$$target -- \
			$$(ls tests/fuzz/$$target.dict 2>/dev/null | sed 's|^|-dict=$(CURDIR)/|') \
			-max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(CURDIR)/target/fuzz/ || exit 1; \
	done

clean:
	$(CARGO) clean
