#!/usr/bin/env bash
# Builds a box of bare Debian for Vagrant with libvirt, from the host's Debian mirror, and adds it to Vagrant: nothing of a
# box catalogue is needed. As root, on Debian: apt-get install mmdebstrap qemu-utils e2fsprogs vagrant-libvirt
#
#   vagrant/make-box.sh [--baked] [NAME]     NAME is hactl/bookworm; --baked: with a cluster's packages, none of them running
#
# MIRROR and SUITE may be given in the environment.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

baked=0
if [ "${1:-}" = --baked ]; then
    baked=1
    shift
fi
name=${1:-hactl/bookworm}
suite=${SUITE:-bookworm}
# The mirror that this machine's own apt uses: users sit behind mirrors.
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | awk -v suite="$suite" '$2 == suite && !seen++ { print $1 }')}
[ -n "$mirror" ] || { echo "apt has no source for $suite: name a mirror, MIRROR=URL $0" >&2; exit 1; }
# What vagrant logs in with for the first time; it makes a key of its own then.
insecure_key=$(find /usr/share/vagrant /usr/share/rubygems-integration /opt/vagrant -path "*keys/vagrant.pub" -print -quit 2>/dev/null || true)
[ -n "$insecure_key" ] || { echo "vagrant's own public key is not found: is vagrant installed?" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/var/tmp}/hactl-box.XXXXXX")
trap 'rm -rf "$work"' EXIT
packages=linux-image-amd64,systemd-sysv,systemd-resolved,udev,dbus,openssh-server,sudo,iproute2,ca-certificates,python3-minimal
if [ "$baked" = 1 ]; then
    packages+=",$(grep -v '^#' "$here/../templates/lab/baked.txt" | paste -sd,)"
fi

echo "== a minimal Debian ($suite)"
mmdebstrap --quiet --variant=minbase --include="$packages" \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='chroot "$1" useradd --create-home --shell /bin/bash vagrant' \
    --customize-hook='chroot "$1" sh -c "echo vagrant:vagrant | chpasswd"' \
    "$suite" "$work/tree" "$mirror"
tree=$work/tree
install -d -m 700 "$tree/home/vagrant/.ssh"
install -m 600 "$insecure_key" "$tree/home/vagrant/.ssh/authorized_keys"
chroot "$tree" chown -R vagrant:vagrant /home/vagrant/.ssh
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$tree/etc/sudoers.d/vagrant"
chmod 440 "$tree/etc/sudoers.d/vagrant"
# Vagrant talks to the first interface, which gets its address from libvirt; it configures the others itself.
printf '[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n' >"$tree/etc/systemd/network/10-eth0.network"
echo 'UseDNS no' >"$tree/etc/ssh/sshd_config.d/vagrant.conf"
echo 'LABEL=hactl-box / ext4 defaults 0 1' >"$tree/etc/fstab"
: >"$tree/etc/machine-id"
rm -f "$tree"/etc/ssh/ssh_host_*
# Keys are each machine's own.
cat >"$tree/etc/systemd/system/ssh-host-keys.service" <<'UNIT'
[Unit]
Description=Make this machine's SSH host keys
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
[Install]
WantedBy=multi-user.target
UNIT
chroot "$tree" systemctl --quiet enable systemd-networkd ssh-host-keys ssh
if [ "$baked" = 1 ]; then
    for unit in corosync pacemaker sbd haproxy drbd nfs-server nfs-kernel-server; do
        chroot "$tree" systemctl --quiet disable "$unit" 2>/dev/null || true
    done
    chroot "$tree" systemctl --quiet mask drbd.service 2>/dev/null || true
fi

echo "== the box"
box=$work/box
mkdir "$box"
cp "$tree"/boot/vmlinuz-* "$box/vmlinuz"
cp "$tree"/boot/initrd.img-* "$box/initrd.img"
rm -rf "$tree"/boot/* "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/*
mkfs.ext4 -q -L hactl-box -E lazy_itable_init=0,lazy_journal_init=0 -d "$tree" "$work/raw" 6G
qemu-img convert -q -O qcow2 "$work/raw" "$box/box.img"
echo '{ "provider": "libvirt", "format": "qcow2", "virtual_size": 6 }' >"$box/metadata.json"
# Booted by its kernel directly: no boot loader, and no firmware that would have to find one.
cat >"$box/Vagrantfile" <<'RUBY'
Vagrant.configure("2") do |config|
  config.vm.provider :libvirt do |libvirt|
    libvirt.kernel = File.join(__dir__, "vmlinuz")
    libvirt.initrd = File.join(__dir__, "initrd.img")
    libvirt.cmd_line = "root=LABEL=hactl-box ro net.ifnames=0 console=ttyS0"
  end
end
RUBY
tar -C "$box" -czf "$work/hactl.box" metadata.json box.img vmlinuz initrd.img Vagrantfile
vagrant box add --force --provider libvirt --name "$name" "$work/hactl.box"
