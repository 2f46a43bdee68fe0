#!/usr/bin/env bash
# The tests in virtual machines, two at a time: while one waits for its cluster, the other one works. Arguments go to the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
HACTL_TEST_VM=1 scripts/prerequisites.sh
export HACTL_TEST_VM=1
"$cargo" test --locked --test lab_vm -- --test-threads "${HACTL_TEST_VM_THREADS:-2}" "$@"
