#!/usr/bin/env bash
# The tests in virtual machines, two at a time: a cluster that waits for a watchdog or a boot leaves processors to another one.
# Arguments go to the runner: a scenario's name runs it alone.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
HACTL_TEST_VM=1 scripts/prerequisites.sh
export HACTL_TEST_VM=1
# What a scenario has come to is seen while it runs, whatever the runner keeps of its output. A socket cannot be opened so.
if { true >>/proc/$$/fd/2; } 2>/dev/null; then
    export HACTL_TEST_PROGRESS=/proc/$$/fd/2
fi

if "$cargo" nextest --version >/dev/null 2>&1; then
    # .config/nextest.toml has the order.
    "$cargo" nextest run --locked --test lab_vm --test-threads 2 --no-fail-fast "$@"
else
    "$cargo" test --locked --test lab_vm -- --test-threads 2 "$@"
fi
