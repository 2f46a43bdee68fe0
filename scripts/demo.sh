#!/usr/bin/env bash
# From bare nodes to a cluster that survives the loss of a node, on this one machine. Every command is printed before it
# is run. Needs root and Debian 12 or newer; leaves nothing behind but the lab's caches.
set -euo pipefail
cd "$(dirname "$0")/.."

lab=${HACTL_DEMO_LAB:-demo}
profile=${HACTL_DEMO_PROFILE:-release}

title() { printf '\n\n== %s\n' "$*"; }
run() {
    printf '\n$ %s\n' "$*"
    "$@"
}
fail() {
    printf '\ndemo failed: %s\n' "$*" >&2
    exit 1
}
# wait_until SECONDS WHAT COMMAND...: asks until the command succeeds.
wait_until() {
    local limit=$1 what=$2 begin=$SECONDS
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS - begin < limit)) || fail "$what: not within $limit s"
        sleep 0.2
    done
    printf '%s: after %d s\n' "$what" $((SECONDS - begin))
}

[ "$(id -u)" = 0 ] || fail "the lab makes network namespaces, mounts and bridges: run this as root"

title "What the lab needs"
packages=(mmdebstrap systemd-container apt-utils nftables iproute2 openssh-client curl)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if ((${#missing[@]})); then
    export DEBIAN_FRONTEND=noninteractive
    run timeout 300 apt-get -qq update
    run timeout 900 apt-get -qq install --no-install-recommends -y "${missing[@]}"
else
    echo "installed: ${packages[*]}"
fi

title "Build"
if [ "$profile" = release ]; then
    run cargo build --locked --release
    target=release
else
    run cargo build --locked
    target=debug
fi
PATH="$PWD/${CARGO_TARGET_DIR:-target}/$target:$PATH"
case ${CARGO_TARGET_DIR:-} in /*) PATH="$CARGO_TARGET_DIR/$target:$PATH" ;; esac
export PATH

down() { hactl lab down --name "$lab" >/dev/null 2>&1 || true; }
trap down EXIT

title "Three bare nodes"
run hactl lab up --name "$lab" --nodes 3
nodes=$(hactl lab status --name "$lab" --json | sed -n 's/.*"inventory": *"\([^"]*\)".*/\1/p')
[ -n "$nodes" ] || fail "the lab does not say where its inventory is"
inventory=(-i "$nodes" -i inventory/lab.yml)
on() { # on NODE COMMAND...: runs a command on a node of the lab
    local node=$1
    shift
    hactl lab ssh --name "$lab" "$node" -- "$@"
}

title "The plan, and the cluster"
run hactl plan "${inventory[@]}" --detailed-exitcode -q && fail "bare nodes need a plan" || [ $? = 2 ]
begin=$SECONDS
run hactl apply "${inventory[@]}" --yes
printf '\nfrom bare nodes to a verified cluster: %d s\n' $((SECONDS - begin))
run hactl status "${inventory[@]}"

title "A second plan is empty (exit code 0)"
run hactl plan "${inventory[@]}" --detailed-exitcode
echo "exit code $?"
