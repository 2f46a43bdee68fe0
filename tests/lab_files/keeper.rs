//! A service whose directory moves to a disk that both nodes see; its unit, its configuration and an agent are the user's own.

use std::time::Duration;

use hactl::discovery::{HOLDERS, Holder, parse_holders};

use crate::lab::{Program, RUN_LIMIT, Ran, TestLab};

/// The nodes of the lab.
const NODES: [&str; 2] = ["alpha", "beta"];
/// Longest time until something shows in the cluster that was done there.
const SETTLE_LIMIT: Duration = Duration::from_secs(180);
/// The barclamp and the files of this test.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/lab_files");

pub(crate) fn files_and_directories() {
    let mut lab = TestLab::up("files", &["--nodes", "2"]);
    describe(&mut lab);
    prepare(&lab);
    refused_while_in_use(&lab);
    moved_although_killed(&lab);
    stays_where_it_is(&lab);
    files_are_kept_the_same(&lab);
    agents_are_there_before_their_resources(&lab);
    holders_are_named(&lab);
}

/// What the cluster is to run.
fn describe(lab: &mut TestLab) {
    let source = format!("{FIXTURES}/source");
    lab.services = format!(
        r#"clusters:
  {name}:
    barclamps:
      pacemaker: {{}}
      keeper: {{}}
      files:
        packages: {{ psmisc: {{}} }}
        files:
          /etc/systemd/system/keeper.service: {{ source: "{source}/keeper.service" }}
          /etc/keeper/who.conf: {{ content: "{{{{ node.name }}}}\n", template: true, mode: "0640", group: adm }}
          /etc/keeper/same.conf: {{ content: "same {{{{ everywhere }}}}\n" }}
        agents: {{ "acme:active": "{source}/active" }}
        units:
          keeper.service: {{ started_by: cluster, reads: [/etc/systemd/system/keeper.service] }}
    resources:
      store-fs:
        primitive: ocf:heartbeat:Filesystem
        params: {{ device: /srv/shared, directory: /mnt/store, fstype: ext4 }}
        operations: {{ monitor: {{ interval: 10s }} }}
      keeper: {{ primitive: "systemd:keeper", operations: {{ monitor: {{ interval: 10s }} }} }}
      active:
        primitive: ocf:acme:active
        params: {{ file: /var/lib/keeper/active }}
        operations: {{ monitor: {{ interval: 10s }} }}
      store: {{ group: [store-fs, keeper, active] }}
    resource_defaults: {{ resource-stickiness: 100 }}
"#,
        name = lab.name()
    );
    lab.write();
}

fn hactl(lab: &TestLab, verb: &str, more: &[&str]) -> Ran {
    let barclamp = format!("{FIXTURES}/keeper");
    lab.hactl(verb, &[&["--barclamps", &barclamp], more].concat())
}

/// A disk that both nodes see (a device node of alpha's, on a file system that survives a power-cut), and a directory on
/// each of them, with other content.
fn prepare(lab: &TestLab) {
    let minor = lab.on("alpha", "stat -c %T $(readlink -f /dev/disk/by-id/virtio-alpha-data1)");
    let minor = u32::from_str_radix(minor.trim(), 16).expect("a device number");
    lab.on("alpha", "mkfs.ext4 -q -F /dev/disk/by-id/virtio-alpha-data1");
    for node in NODES {
        lab.on(node, &format!("mknod /srv/shared b 7 {minor} && mkdir -p /var/lib/keeper/inner"));
        lab.on(node, &format!("echo {node} >/var/lib/keeper/origin"));
    }
    lab.on(
        "alpha",
        "cd /var/lib/keeper && echo secret >inner/key && chmod 0640 inner/key && chown daemon:adm inner/key && \
         ln -s inner/key link && ln inner/key hard && chmod 2770 inner && chown daemon:adm . && chmod 0711 .",
    );
    lab.on("beta", "echo only here >/var/lib/keeper/extra");
}

/// What has the directory open is named, and nothing happens.
fn refused_while_in_use(lab: &TestLab) {
    lab.on("alpha", "systemd-run --quiet --unit=user --property=WorkingDirectory=/var/lib/keeper sleep 600");
    hactl(lab, "apply", &["--yes"]).expect(5).warns("/var/lib/keeper is in use by process").warns("(sleep)");
    lab.on("alpha", "systemctl stop user && test ! -e /etc/corosync && test ! -e /mnt/store/var");
}

/// Killed while it copies and while it links, and finished by the next run. The founder's copy counts, the other is kept.
fn moved_although_killed(lab: &TestLab) {
    let listing = "cd /var/lib/keeper/ && find . -name origin -prune -o -name journal -prune -o -name active -prune -o \
                   -type f -printf '%P %m %u:%g %n %s %T@\\n' -o -type l -printf '%P %l\\n' -o -type d -printf '%P %m %u:%g\\n' | sort";
    let before = lab.on("alpha", listing);
    let plan = hactl(lab, "plan", &["--detailed-exitcode"]).expect(2);
    plan.says(
        "beta's own /var/lib/keeper (3 entries, other ones): set aside as /var/lib/keeper.before-hactl",
    );
    for step in ["copy /var/lib/keeper to the volume", "set /var/lib/keeper aside"] {
        let barclamp = format!("{FIXTURES}/keeper");
        let words = ["--barclamps", &barclamp, "--yes", "--lock-timeout", "2m"];
        let mut run = Program::start(&mut lab.command("apply", &words));
        run.line_that(RUN_LIMIT, |line| line.contains(step) && !line.contains(": ok: "))
            .expect("it gets there");
        run.kill();
    }
    hactl(lab, "apply", &["--yes", "--lock-timeout", "2m"]).expect(0);
    hactl(lab, "plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
    hactl(lab, "verify", &["--patience", "1m"]).expect(0);
    let holder = holder(lab);
    assert_eq!(lab.on(&holder, listing), before, "owners, modes, times and links are as they were");
    assert_eq!(lab.on(&holder, "cat /var/lib/keeper/origin").trim(), "alpha");
    assert_eq!(lab.on(&holder, "ls -A /mnt/store/.hactl-seeding 2>/dev/null | wc -l").trim(), "0");
    for node in NODES {
        assert_eq!(lab.on(node, "readlink /var/lib/keeper").trim(), "/mnt/store/var/lib/keeper");
        assert_eq!(lab.on(node, "cat /var/lib/keeper.before-hactl/origin").trim(), node);
        assert_eq!(lab.try_on(node, "systemctl is-enabled keeper").out.trim(), "disabled");
    }
    assert_eq!(lab.on("beta", "cat /var/lib/keeper.before-hactl/extra").trim(), "only here");
    lab.say("moved to the volume, although killed twice: owners, modes, times and links as they were");
}

/// The service writes where its data is, also on the other node.
fn stays_where_it_is(lab: &TestLab) {
    let (from, lines) = (holder(lab), "wc -l </var/lib/keeper/journal");
    lab.wait_on(&from, "the service writes", SETTLE_LIMIT, "test -s /var/lib/keeper/journal");
    let count = |node: &str| lab.on(node, lines).trim().parse::<u32>().expect("a number");
    let before = count(&from);
    let to = NODES.into_iter().find(|node| *node != from).unwrap();
    lab.on(&from, &format!("crm_resource --resource store --move --node {to}"));
    let there = format!("grep -qx {to} /var/lib/keeper/active && systemctl is-active --quiet keeper");
    lab.wait_on(to, "the group is there", SETTLE_LIMIT, &there);
    assert!(count(to) >= before, "the journal goes on");
    assert_ne!(lab.try_on(&from, "test -e /var/lib/keeper/journal").code, Some(0), "and is nowhere else");
    lab.on(to, "crm_resource --resource store --clear");
    hactl(lab, "plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
}

/// A change by hand is seen and taken back; a template is each node's own.
fn files_are_kept_the_same(lab: &TestLab) {
    for node in NODES {
        assert_eq!(lab.on(node, "cat /etc/keeper/who.conf").trim(), node);
        assert_eq!(lab.on(node, "stat -c '%a %U:%G' /etc/keeper/who.conf").trim(), "640 root:adm");
        assert_eq!(lab.on(node, "cat /etc/keeper/same.conf"), "same {{ everywhere }}\n");
    }
    lab.on("beta", "echo other >/etc/keeper/same.conf");
    hactl(lab, "plan", &["--detailed-exitcode"]).expect(2).says("/etc/keeper/same.conf").says("-other");
    hactl(lab, "apply", &["--yes"]).expect(0);
    assert_eq!(lab.on("beta", "cat /etc/keeper/same.conf"), "same {{ everywhere }}\n");
    lab.say("files are kept the same");
}

/// The cluster never looked for an agent that was not there.
fn agents_are_there_before_their_resources(lab: &TestLab) {
    for node in NODES {
        let mode = "stat -c %a /usr/lib/ocf/resource.d/acme/active";
        assert_eq!(lab.on(node, mode).trim(), "755");
    }
    let failures = lab.on("alpha", "crm_mon -1 --output-as=xml");
    assert!(!failures.contains("not installed"), "{failures}");
}

/// A mount and a process that hold the disk are told apart.
fn holders_are_named(lab: &TestLab) {
    let node = holder(lab);
    lab.on(&node, "mknod /dev/shared b $(stat -c '0x%t 0x%T' /srv/shared)");
    lab.on(&node, "systemd-run --quiet --unit=reader sh -c 'exec sleep 600 3</dev/shared'");
    lab.wait_on(&node, "it reads", SETTLE_LIMIT, "ls -l /proc/[0-9]*/fd/3 | grep -q /dev/shared");
    let script = HOLDERS.replace('\'', "'\\''");
    let told = lab.on(&node, &format!("sh -c '{script}' hactl-holders /dev/shared"));
    lab.on(&node, "systemctl stop reader");
    let holders = parse_holders(&told);
    let open = holders.iter().any(|one| matches!(one, Holder::Process { name, .. } if name == "sleep"));
    assert!(open, "{holders:?} of\n{told}");
    let mounted =
        holders.iter().any(|one| matches!(one, Holder::Mount { directory, .. } if directory == "/mnt/store"));
    assert!(mounted, "{holders:?} of\n{told}");
}

/// The node that has the group.
fn holder(lab: &TestLab) -> String {
    lab.on("alpha", "crm_resource --resource store --locate --quiet").trim().to_owned()
}
