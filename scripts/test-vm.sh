#!/usr/bin/env bash
# The tests in virtual machines, one after another: emulated, they use all processors of a small machine. Arguments go to the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
HACTL_TEST_VM=1 scripts/prerequisites.sh
export HACTL_TEST_VM=1
"$cargo" test --locked --test lab_vm -- --test-threads "${HACTL_TEST_VM_THREADS:-1}" "$@"
