#!/usr/bin/env bash
# The tests in virtual machines, two at a time at most: one of those that keep all processors of a small machine busy, and
# one of those that mostly wait (.config/nextest.toml). Arguments go to the runner: a scenario's name runs it alone.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
HACTL_TEST_VM=1 scripts/prerequisites.sh
export HACTL_TEST_VM=1

if "$cargo" nextest --version >/dev/null 2>&1; then
    "$cargo" nextest run --locked --test lab_vm --test-threads 2 --success-output immediate --no-fail-fast "$@"
else
    "$cargo" test --locked --test lab_vm -- --test-threads 1 "$@"
fi
