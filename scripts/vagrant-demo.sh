#!/usr/bin/env bash
# Two machines by Vagrant and libvirt, made a cluster by hactl, and away again. As root, on Debian. Everything that it
# starts it ends: machines, networks, daemons.
#
# Where KVM is there but does not work, HACTL_VAGRANT_EMULATE=1 emulates the machines.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
hactl=${HACTL:-$repository/target/debug/hactl}
box=hactl/bookworm

packages=(vagrant vagrant-libvirt libvirt-daemon-system libvirt-clients dnsmasq-base qemu-system-x86 qemu-utils
    mmdebstrap e2fsprogs iptables util-linux openssh-client)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if ((${#missing[@]})); then
    echo "missing: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

# The user that libvirt runs QEMU as must be able to read boxes: not below /root.
work=$(mktemp -d /var/tmp/hactl-vagrant.XXXXXX)
chmod 755 "$work"
export VAGRANT_HOME=${VAGRANT_HOME:-/var/lib/hactl-vagrant}
mkdir -p "$VAGRANT_HOME"
forwarding=$(cat /proc/sys/net/ipv4/ip_forward)
started=()

# Runs a daemon of libvirt in a mount namespace of its own, with settings for a machine without systemd and, where that is
# asked for, without /dev/kvm: libvirt would ask QEMU about a KVM that hangs, at every call.
daemon() {
    unshare --mount sh -c '
        mount --bind "$1/qemu.conf" /etc/libvirt/qemu.conf
        [ ! -e "$1/no-kvm" ] || mount --bind "$1/no-kvm" /dev/kvm
        shift
        exec "$@"' sh "$work" "$@"
}

networks() { timeout 60 virsh --connect qemu:///system net-list --all --name 2>/dev/null || true; }

end() {
    status=$?
    trap - EXIT
    (cd "$work/machines" 2>/dev/null && timeout 120 vagrant destroy --force) || true
    # What vagrant-libvirt made and keeps for the next time.
    for network in $(networks); do
        if ! grep -qx "$network" "$work/networks-before"; then
            timeout 30 virsh --connect qemu:///system net-destroy "$network" >/dev/null 2>&1 || true
            timeout 30 virsh --connect qemu:///system net-undefine "$network" >/dev/null 2>&1 || true
        fi
    done
    if ((${#started[@]})); then
        # A box is copied into libvirt's pool; libvirt was not here before, so the pool is the demonstration's.
        for volume in $(timeout 60 virsh --connect qemu:///system vol-list default 2>/dev/null | awk '/hactl/ { print $1 }'); do
            timeout 60 virsh --connect qemu:///system vol-delete --pool default "$volume" >/dev/null 2>&1 || true
        done
        kill "${started[@]}" 2>/dev/null || true
        for tables in iptables ip6tables; do
            rules=$("$tables-save" 2>/dev/null | grep -v LIBVIRT_ || true)
            [ -z "$rules" ] || "$tables-restore" <<<"$rules" || true
        done
    fi
    echo "$forwarding" >/proc/sys/net/ipv4/ip_forward
    rm -rf "$work"
    exit "$status"
}
touch "$work/networks-before"
trap end EXIT

# A machine with systemd has libvirt running already.
if ! timeout 20 virsh --connect qemu:///system version >/dev/null 2>&1; then
    echo "== libvirt"
    printf '%s\n' 'namespaces = []' 'security_driver = "none"' 'user = "root"' 'group = "root"' >"$work/qemu.conf"
    if [ -n "${HACTL_VAGRANT_EMULATE:-}" ] && [ -e /dev/kvm ]; then
        : >"$work/no-kvm"
        chmod 000 "$work/no-kvm"
    fi
    daemon virtlogd --daemon --pid-file "$work/virtlogd.pid"
    daemon libvirtd --daemon --pid-file "$work/libvirtd.pid"
    started=("$(cat "$work/libvirtd.pid")" "$(cat "$work/virtlogd.pid")")
    timeout 120 sh -c 'until virsh --connect qemu:///system version >/dev/null 2>&1; do sleep 1; done'
fi

networks >"$work/networks-before"
vagrant box list 2>/dev/null | grep -q "^$box " || vagrant/make-box.sh --baked "$box"

echo "== vagrant up"
mkdir "$work/machines"
cp vagrant/Vagrantfile "$work/machines/"
cat >"$work/machines/nodes.yml" <<YAML
box: $box
memory_mib: 768
networks: ["192.168.56", "192.168.57"]
disks: [{ name: data1, size_gib: 1 }]
nodes: [alpha, beta]
YAML
(cd "$work/machines" && timeout 1200 vagrant up --no-tty --provider libvirt && vagrant status)

echo "== hactl apply"
cat >"$work/inventory.yml" <<YAML
version: 1
clusters:
  vagrant:
    ssh: { user: vagrant, sudo: true, agent: false, identity: $work/machines/.vagrant/hactl_ed25519, known_hosts: $work/known_hosts }
    operation_defaults: { timeout: 120s }
    nodes:
      alpha: { address: 192.168.56.11, links: [192.168.56.11, 192.168.57.11] }
      beta: { address: 192.168.56.12, links: [192.168.56.12, 192.168.57.12] }
    barclamps:
      pacemaker:
        corosync: { token_ms: 10000 }
        fencing: { disabled: "a demonstration on machines that run nothing" }
      haproxy: { vip: { address: 192.168.56.100, prefix: 24 } }
YAML
"$hactl" apply --yes --accept-new-host-keys -i "$work/inventory.yml"
"$hactl" verify -i "$work/inventory.yml"
"$hactl" plan --detailed-exitcode -i "$work/inventory.yml"
echo "== two machines by Vagrant are a cluster; nothing to do in a second plan"
