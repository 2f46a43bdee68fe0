#!/usr/bin/env bash
# Installs what the lab, the demonstration and the tests use, on Debian, as root. Says what is missing otherwise.
set -euo pipefail

packages=(
    mmdebstrap systemd-container apt-utils nftables iproute2 openssh-server openssh-client
    pacemaker-cli-utils libxml2-utils ca-certificates gcc libc6-dev make procps sudo curl
    libnbd-bin python3-libnbd qemu-utils fio drbd-utils lvm2 cryptsetup-bin
)
# Only the tests in virtual machines need an emulator.
[ "${HACTL_TEST_VM:-}" != 1 ] || packages+=(qemu-system-x86 e2fsprogs)
# Only the measurements of the replication engine need what it is compared with, QEMU's storage daemon.
[ "${HACTL_BENCH_REPLICA:-}" != 1 ] || packages+=(qemu-system-common)
missing=()
look() {
    missing=()
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
}
look
((${#missing[@]})) || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "skipped: installing ${missing[*]} (not root on Debian); what needs them will say so" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# No daemon is to be started by an installation: the tests start what they need.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
timeout 300 apt-get -qq update
# Twice at most: apt takes away what breaks with the release's version of a package, as a backported qemu-utils with
# qemu-system-x86, and the release's own comes in its place.
for _ in 1 2; do
    echo "== installing ${missing[*]}"
    timeout 900 apt-get -qq install --no-install-recommends -y "${missing[@]}"
    look
    ((${#missing[@]})) || exit 0
done
echo "not installed, although apt-get said so: ${missing[*]}" >&2
exit 1
