#!/usr/bin/env bash
# The tests in virtual machines, one after another: emulated, a pair uses all processors of a small machine. Arguments go to
# the runner: a scenario's name runs it alone.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
HACTL_TEST_VM=1 scripts/prerequisites.sh
export HACTL_TEST_VM=1

if "$cargo" nextest --version >/dev/null 2>&1; then
    # What a scenario has come to is seen while it runs; it also makes them run one at a time.
    "$cargo" nextest run --locked --test lab_vm --no-capture --no-fail-fast "$@"
else
    "$cargo" test --locked --test lab_vm -- --test-threads 1 "$@"
fi
