//! Nodes that are not as they must be: exit code 5 before anything is changed anywhere, the node and the thing named.

use crate::setting::{BLOCKED, DIFFERENCES, NODES, Setting};

/// Holds dpkg's lock as dpkg itself does, until it is stopped. It is `ready` once it has it.
const HOLD_LOCK: &str = "systemd-run --quiet --collect --unit=holder --property=Type=notify \
    --property=NotifyAccess=all perl -e 'use Fcntl; \
    open(F, q(>>), q(/var/lib/dpkg/lock-frontend)) or die; \
    fcntl(F, F_SETLK, pack(q(s s l! l! i), F_WRLCK, SEEK_SET, 0, 0, 0)) or die; \
    system(q(systemd-notify), q(--ready)); sleep 600'";

/// What is wrong: how it comes about on a node, how it is put right, what must be told.
struct Case<'a> {
    what: &'a str,
    node: &'a str,
    make: String,
    mend: &'a str,
    says: Vec<&'a str>,
}

pub(crate) fn nodes_that_are_not_as_they_must_be(setting: &mut Setting) {
    for case in [identity(), hostname(), clock(), leftover_cluster(), leftover_cib(), space(), lock()] {
        setting.lab.on(case.node, &case.make);
        let place = format!("blocked {}: ", case.node);
        let mut says = vec![place.as_str(), "what to do: "];
        says.extend(&case.says);
        let ran = setting.refused(case.what, &setting.apply(), BLOCKED, &says);
        let others = NODES.iter().filter(|node| **node != case.node);
        for other in others {
            assert!(!ran.err.contains(&format!("blocked {other}")), "{other} is as it must be\n{ran}");
        }
        setting.lab.on(case.node, case.mend);
    }
    link_address(setting);
    fencing_of_the_lab(setting);
    two_nodes_at_once(setting);
    setting.run(&setting.attempt("plan", &["--detailed-exitcode"])).expect(DIFFERENCES);
    setting.lab.say("what was wrong is gone: the plan is no longer blocked");
}

fn identity() -> Case<'static> {
    Case {
        what: "an unsupported distribution",
        node: "beta",
        make: "rm /etc/os-release && printf 'ID=ubuntu\\nVERSION_ID=\"24.04\"\\nPRETTY_NAME=\"Ubuntu 24.04\"\\n' \
               >/etc/os-release"
            .to_owned(),
        mend: "ln -sf ../usr/lib/os-release /etc/os-release",
        says: vec!["Ubuntu 24.04 is not supported", "Debian 12"],
    }
}

fn hostname() -> Case<'static> {
    Case {
        what: "another host name",
        node: "beta",
        make: "hostname betty".to_owned(),
        mend: "hostname beta",
        says: vec!["calls itself `betty`", "hostnamectl set-hostname beta"],
    }
}

/// The nodes share this machine's clock: the node's `date` tells another time, as a clock that is wrong does.
fn clock() -> Case<'static> {
    Case {
        what: "a clock that is 90 s ahead",
        node: "gamma",
        make: "printf '#!/bin/sh\\nexec /usr/bin/date --date=\"+90 seconds\" \"$@\"\\n' >/usr/local/bin/date && \
               chmod +x /usr/local/bin/date"
            .to_owned(),
        mend: "rm /usr/local/bin/date",
        says: vec!["ahead of this machine's", "chrony"],
    }
}

fn leftover_cluster() -> Case<'static> {
    Case {
        what: "what another cluster left",
        node: "gamma",
        make: "mkdir /etc/corosync && printf 'totem {\\n version: 2\\n cluster_name: accounting\\n}\\n' \
               >/etc/corosync/corosync.conf"
            .to_owned(),
        mend: "rm -r /etc/corosync",
        says: vec!["/etc/corosync/corosync.conf", "another cluster, `accounting`", "hactl does not"],
    }
}

fn leftover_cib() -> Case<'static> {
    Case {
        what: "a CIB that an earlier cluster left",
        node: "alpha",
        make: "mkdir -p /var/lib/pacemaker/cib && echo '<cib/>' >/var/lib/pacemaker/cib/cib.xml".to_owned(),
        mend: "rm -r /var/lib/pacemaker",
        says: vec!["/var/lib/pacemaker/cib", "earlier cluster"],
    }
}

fn space() -> Case<'static> {
    Case {
        what: "a full /var",
        node: "alpha",
        make:
            "mkdir /mnt/var && mount -t tmpfs -o size=$(($(du -sm /var | cut -f1) + 40))m none /mnt/var && \
               cp -a /var/. /mnt/var/ && mount --bind /mnt/var /var && \
               ! dd if=/dev/zero of=/var/full bs=64k 2>/dev/null"
                .to_owned(),
        // What runs has files open in it.
        mend: "umount --lazy /var && umount --lazy /mnt/var && rmdir /mnt/var",
        says: vec!["/var has 0 MiB free; 512 MiB are needed", "make room below /var on the node"],
    }
}

fn lock() -> Case<'static> {
    Case {
        what: "dpkg's lock in other hands",
        node: "beta",
        make: HOLD_LOCK.to_owned(),
        mend: "systemctl stop holder",
        says: vec!["the package manager is in use by perl, process ", "/var/lib/dpkg/lock-frontend"],
    }
}

fn link_address(setting: &mut Setting) {
    let gamma = setting.address("gamma", 1);
    let nobody = gamma.replace(".13", ".77");
    let attempt = setting.apply().nodes(&gamma, &nobody);
    let says = ["blocked gamma: ", "link 1 is to use", &nobody, "no interface", "`links`"];
    setting.refused("a link's address that the node does not have", &attempt, BLOCKED, &says);
}

/// A fence agent that cuts no power is good for nodes of a lab only; without its mark, a node is a machine like another.
fn fencing_of_the_lab(setting: &mut Setting) {
    setting.lab.on("beta", "mv /etc/hactl-lab /root/hactl-lab");
    let says = [
        "`fence_hactl_lab` cannot be relied on outside the built-in lab",
        "no nodes of a lab: beta",
        "what to do: ",
    ];
    setting.refused("fencing of the lab for another machine", &setting.apply(), BLOCKED, &says);
    let ssh = "    resources:\n      by-ssh: { primitive: \"stonith:ssh\", params: { hostlist: beta } }\n";
    let says = [
        "fence agent `fence_hactl_lab`, `ssh` cannot be relied on outside the built-in lab",
        "no nodes of a lab: beta",
    ];
    setting.refused("fencing by SSH", &setting.apply().more(ssh), BLOCKED, &says);
    setting.lab.on("beta", "mv /root/hactl-lab /etc/hactl-lab");
}

/// All nodes are looked at before anything is said.
fn two_nodes_at_once(setting: &mut Setting) {
    setting.lab.on("alpha", &hostname().make);
    setting.lab.on("gamma", &clock().make);
    let says = ["blocked alpha: ", "`betty`", "blocked gamma: ", "2 problems"];
    let ran = setting.refused("two nodes with two problems", &setting.apply(), BLOCKED, &says);
    assert!(!ran.out.contains("blocked"), "what stands in the way is on stderr\n{ran}");
    setting.lab.on("alpha", "hostname alpha");
    setting.lab.on("gamma", clock().mend);
}

/// UDP that does not pass between two nodes is found by trying, before anything is installed.
pub(crate) fn links_that_do_not_pass(setting: &mut Setting) {
    setting.lab.fault(&["partition", "beta", "gamma", "--network", "2"]);
    let (beta, gamma) = (setting.address("beta", 1), setting.address("gamma", 1));
    let there = format!("does not pass from beta ({beta}) to gamma ({gamma}), link 1");
    let back = format!("does not pass from gamma ({gamma}) to beta ({beta}), link 1");
    let says = ["UDP port 5406", &there, &back, "what to do: ", "firewall"];
    let ran =
        setting.refused("a link that does not pass between two nodes", &setting.apply(), BLOCKED, &says);
    assert!(!ran.err.contains("5405 does not pass"), "the other link passes\n{ran}");
    assert!(!ran.err.contains("from alpha"), "alpha is reached\n{ran}");
    setting.lab.fault(&["heal"]);
    // A firewall on a node: everything but corosync's port of the first link passes.
    let rules = "add table inet closed; \
                 add chain inet closed input { type filter hook input priority 0; }; \
                 add rule inet closed input udp dport 5405 drop";
    in_network_of(setting, "gamma", rules);
    let says = [
        "UDP port 5405 does not pass from alpha",
        "UDP port 5405 does not pass from beta",
        "link 0",
        "what to do: ",
        "open the port in the firewalls",
        "Nothing was changed",
    ];
    let closed = setting.refused("a port that a firewall closes", &setting.apply(), BLOCKED, &says);
    assert!(
        !closed.err.contains("from gamma") && !closed.err.contains("5406"),
        "one way, one port\n{closed}"
    );
    in_network_of(setting, "gamma", "delete table inet closed");
}

/// Changes the packet filter of a node, which is in the network namespace that the lab made for it.
fn in_network_of(setting: &Setting, node: &str, rules: &str) {
    let namespace = format!("hactl-lab.{}.{node}", setting.lab.name());
    let nft = std::process::Command::new("ip").args(["netns", "exec", &namespace, "nft", rules]).status();
    assert!(nft.expect("ip starts").success(), "nft in {namespace}: {rules}");
}
