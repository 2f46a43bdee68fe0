# What hactl's idle plan looks at, as pyinfra operations: packages, files, the block in /etc/hosts, units, the live CIB.
from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import apt, files, systemd

mine = f"{host.data.files}/{host.name}"

apt.packages(
    packages=["corosync", "haproxy", "iproute2", "pacemaker", "pacemaker-cli-utils", "resource-agents"],
    no_recommends=True,
)
files.put(src=f"{mine}/corosync.conf", dest="/etc/corosync/corosync.conf", user="root", group="root", mode="644")
files.put(src=f"{mine}/haproxy.cfg", dest="/etc/haproxy/haproxy.cfg", user="root", group="root", mode="644")
files.put(src=f"{mine}/authkey", dest="/etc/corosync/authkey", user="root", group="root", mode="400")
with open(f"{mine}/hosts-block", encoding="utf-8") as block:
    files.block(
        path="/etc/hosts",
        content=block.read().splitlines(),
        marker="# {mark} hactl cluster " + host.data.cluster,
    )
systemd.service(service="corosync.service", running=True, enabled=True)
systemd.service(service="pacemaker.service", running=True, enabled=True)
systemd.service(service="haproxy.service", running=None, enabled=False)
host.get_fact(Command, "cibadmin --query")
host.get_fact(Command, "corosync-cmapctl")
