# The commands of this project. Each works on a fresh Debian with a Rust toolchain.

CARGO ?= cargo
TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
DIST := target/dist/origin-guard
FUZZ_SECONDS ?= 600

PREFIX ?= /usr/local
DESTDIR ?=
BINARY ?= $(DIST)
UNITS := $(DESTDIR)$(PREFIX)/lib/systemd/system

.PHONY: run test check dist install bench timing fuzz clean

# Builds and serves with a one-time secret; prints the line that tries it.
run:
	$(CARGO) build --release
	@secret=$$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n'); \
	printf '\ntry it:\n\n  curl -i -H "X-Shared-Secret: %s" http://127.0.0.1:8888/protected\n\n' "$$secret"; \
	SHARED_SECRET=$$secret LISTEN=$${LISTEN:-127.0.0.1:8888} exec target/release/origin-guard

# All tests. With REQUIRE_ALL=1 a test that is skipped for want of a server fails.
test:
	$(CARGO) test --no-fail-fast

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --document-private-items

# The static binary. Its relocations are packed, which ld and glibc can do from Debian 12
# on; the last line fails where they cannot.
dist:
	RUSTFLAGS='-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs' \
		$(CARGO) build --release --target $(TARGET)
	mkdir -p $(dir $(DIST))
	install -m 0755 target/$(TARGET)/release/origin-guard $(DIST)
	$(DIST) --version

# Binary and units; then `systemctl daemon-reload`. BINARY is what is installed.
install: $(if $(filter $(DIST),$(BINARY)),dist)
	install -D -m 0755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/origin-guard
	mkdir -p $(UNITS)
	$(BINARY) print unit | sed 's|/usr/local/bin/|$(PREFIX)/bin/|' >$(UNITS)/origin-guard.service
	$(BINARY) print socket >$(UNITS)/origin-guard.socket
	chmod 0644 $(UNITS)/origin-guard.service $(UNITS)/origin-guard.socket

bench: dist
	python3 tests/bench/run.py
	python3 tests/bench/fronts.py
	python3 tests/bench/keys.py

timing:
	$(CARGO) run --release --manifest-path tests/timing/Cargo.toml --target-dir target/timing

# The head parser, ten minutes, from the inputs of the corpus on. RUSTC_BOOTSTRAP
# stands for the nightly that the sanitizers want.
fuzz:
	command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	FUZZ_SEEDS=$(CURDIR)/target/fuzz/seeds $(CARGO) test --test seeds
	mkdir -p target/fuzz/found
	RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz head \
		$(CURDIR)/target/fuzz/found $(CURDIR)/target/fuzz/seeds -- \
		-max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(CURDIR)/target/fuzz/

clean:
	$(CARGO) clean
