#!/usr/bin/env bash
# All tests: with cargo-nextest where it is installed, otherwise with cargo's own runner. Arguments go to the runner.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
scripts/prerequisites.sh

# A test in a lab waits for its cluster most of the time: three of them keep two processors busy.
export NEXTEST_TEST_THREADS=${NEXTEST_TEST_THREADS:-$(($(nproc) * 3 / 2))}

if "$cargo" nextest --version >/dev/null 2>&1; then
    "$cargo" nextest run --locked --workspace --no-fail-fast "$@"
    # nextest does not run the examples in documentation.
    "$cargo" test --locked --workspace --doc --quiet
else
    echo "cargo-nextest is not installed: using cargo test" >&2
    "$cargo" test --locked --workspace --no-fail-fast "$@"
fi
