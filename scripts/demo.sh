#!/usr/bin/env bash
# From bare nodes to a cluster that survives the loss of a node, on this one machine. Every command is printed before it
# is run. Needs root and Debian 12 or newer; leaves nothing behind but the lab's caches.
set -euo pipefail
cd "$(dirname "$0")/.."

lab=lab # inventory/lab.yml describes the cluster of this name
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
run scripts/prerequisites.sh

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

client=
leave() {
    [ -z "$client" ] || kill "$client" 2>/dev/null || true
    hactl lab down --name "$lab" >/dev/null 2>&1 || printf 'the lab is still there: hactl lab down --name %s\n' "$lab" >&2
    rm -f "$requests"
}
requests=$(mktemp)
if hactl lab status --name "$lab" >/dev/null 2>&1; then
    rm -f "$requests"
    fail "a lab called $lab is up already; take it down first: hactl lab down --name $lab"
fi
trap leave EXIT

on() { # on NODE COMMAND...: runs a command on a node of the lab
    local node=$1
    shift
    hactl lab ssh --name "$lab" "$node" -- "$@"
}
holder() { # the node that holds the virtual address, as a node says
    on "$1" crm_resource --resource web-ip --locate --quiet
}
held_elsewhere() { # held_elsewhere ASKED LOST: another node than LOST holds the address, and the service answers
    local now
    now=$(holder "$1") && [ -n "$now" ] && [ "$now" != "$2" ] && answers
}
answers() { curl --silent --output /dev/null --fail --max-time 1 "$url"; }
online() { # online ASKED NODE: NODE is a member again, with nothing left to do
    on "$1" crm_node --partition | tr ' ' '\n' | grep -qx "$2" && on "$1" crm_resource --wait --timeout 20
}
ask_ten_times_a_second() { # writes a line for every request: the time and whether it was answered
    while :; do
        if answers; then echo "$EPOCHREALTIME ok"; else echo "$EPOCHREALTIME lost"; fi >>"$requests"
        sleep 0.1
    done
}

title "Three bare nodes"
run hactl lab up --name "$lab" --nodes 3
nodes_file=$(hactl lab status --name "$lab" --json | sed -n 's/^ *"inventory": *"\(.*\)",\{0,1\}$/\1/p')
[ -n "$nodes_file" ] || fail "the lab does not say where its inventory is"
inventory=(-i "$nodes_file" -i inventory/lab.yml)
if ! grep -q virtual_ip "$nodes_file"; then
    free=$(sed -n 's/.*Free for virtual addresses, on the first network: \([0-9.]*\) .*/\1/p' "$nodes_file")
    [ -n "$free" ] || fail "no free address for the service is known"
    inventory+=(--var "virtual_ip=$free")
fi

title "What would change (exit code 2: something would)"
code=0
run hactl plan "${inventory[@]}" --detailed-exitcode --quiet || code=$?
echo "exit code $code"
[ "$code" = 2 ] || fail "a plan for bare nodes ends with 2"

title "From bare nodes to a verified cluster"
begin=$SECONDS
run hactl apply "${inventory[@]}" --yes
echo "took $((SECONDS - begin)) s"
run hactl status "${inventory[@]}"

title "A second plan is empty (exit code 0)"
run hactl plan "${inventory[@]}" --detailed-exitcode
echo "exit code 0"

title "The service on its virtual address"
read -r -a nodes <<<"$(on alpha crm_node --partition)"
[ "${#nodes[@]}" = 3 ] || fail "three nodes were expected: ${nodes[*]}"
url="http://$(on alpha crm_resource --resource web-ip --get-parameter ip)/"
victim=$(holder alpha)
for survivor in "${nodes[@]}"; do [ "$survivor" = "$victim" ] || break; done
echo "$victim holds the address"
run curl --silent --show-error --fail --max-time 5 "$url"

title "The power of $victim is cut"
ask_ten_times_a_second &
client=$!
sleep 1
run hactl lab fault --name "$lab" power-cut "$victim"
wait_until 60 "the service answers from another node" held_elsewhere "$survivor" "$victim"
echo "$(holder "$survivor") holds the address now"
wait_until 120 "$victim was fenced, is back and nothing is left to do" online "$survivor" "$victim"
kill "$client"
wait "$client" 2>/dev/null || true
client=
awk '$2 == "lost" { if (!first) first = $1; last = $1; lost++ } { all++ }
    END { printf "a client asked %d times; %d requests were lost, within %.1f s\n", all, lost, lost ? last - first : 0 }' "$requests"
run on "$survivor" stonith_admin --history "$victim"
run hactl status "${inventory[@]}"

title "The cluster is still what the inventory says (exit code 0)"
run hactl plan "${inventory[@]}" --detailed-exitcode
echo "exit code 0"

title "And away"
run hactl lab down --name "$lab"
trap 'rm -f "$requests"' EXIT
printf '\ndemo: all of it was seen to work\n'
