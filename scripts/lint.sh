#!/usr/bin/env bash
# Everything that must hold before a change is accepted, besides the tests. Runs all checks and names those that failed.
set -uo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
failed=()

check() {
    local name=$1
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    "$@" || failed+=("$name")
}

check formatting "$cargo" fmt --all --check
check clippy "$cargo" clippy --locked --workspace --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" check documentation "$cargo" doc --locked --workspace --no-deps --quiet
check lengths "$cargo" test --locked --quiet --test lint_lengths

if ! "$cargo" deny --version >/dev/null 2>&1; then
    echo "cargo-deny is not installed: installing it (some minutes)"
    "$cargo" install cargo-deny --locked --quiet || failed+=("installation of cargo-deny")
fi
if "$cargo" deny --version >/dev/null 2>&1; then
    check "licences, bans, sources" "$cargo" deny --locked check bans licenses sources
    # The database of advisories is a git repository; where it cannot be fetched, that is said and not held against
    # the change.
    if timeout 60 "$cargo" deny fetch db >/dev/null 2>&1; then
        check advisories "$cargo" deny --locked check advisories
    else
        echo "skipped: advisories (their database cannot be fetched from here)"
    fi
fi

if ((${#failed[@]})); then
    printf '\nlint failed: %s\n' "$(IFS=,; echo "${failed[*]}")" >&2
    exit 1
fi
printf '\nlint: all checks passed\n'
