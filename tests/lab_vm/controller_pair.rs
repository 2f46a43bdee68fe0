//! The example of an active/passive controller: brought up, verified, drilled, and as it was described afterwards.

use std::time::Duration;

use crate::lab::TestLab;

/// The nodes of the lab.
const NODES: [&str; 2] = ["alpha", "beta"];
/// Longest time for what an emulated cluster does by itself.
const SETTLE_LIMIT: Duration = Duration::from_secs(300);
/// How long a verification goes on trying.
const PATIENCE: &str = "10m";
/// The example, and the name of the cluster in it.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/inventory/controller-pair.yml");
const CLUSTER: &str = "controller-pair:";

pub(crate) fn a_controller_pair() {
    let mut lab = TestLab::up("ctl", &["--backend", "vm", "--nodes", "2", "--baked", "--boot-delay", "0"]);
    let example = std::fs::read_to_string(EXAMPLE).expect("the example can be read");
    // The lab's cluster has the lab's name, and the files are beside the example.
    let files = EXAMPLE.trim_end_matches(".yml");
    lab.services = example
        .replacen(CLUSTER, &format!("{}:", lab.name()), 1)
        .replace(" controller-pair/", &format!(" {files}/"));
    lab.write();
    gateway(&lab);
    lab.hactl("apply", &["--yes"]).expect(0);
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
    as_described(&lab);

    let report = lab
        .hactl("verify", &["--drill", "failover", "--yes", "--json", "--patience", PATIENCE])
        .expect(0)
        .json();
    assert_eq!(report["group"], "ctl");
    assert_ne!(report["survivor"], report["victim"]);
    let writes = &report["writes"];
    assert_eq!(writes["lost"], 0, "{writes}");
    assert!(writes["acknowledged"].as_u64().is_some_and(|count| count > 100), "{writes}");
    assert!(report["resynced_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{report}");
    lab.say(&format!("drilled: {writes}, resynced {} bytes", report["resynced_bytes"]));
    as_described(&lab);
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
}

/// A public network has a gateway, without which there is nothing to say a source address of; that of a lab has none. A node
/// that comes back has it again.
fn gateway(lab: &TestLab) {
    let address = lab.virtual_ip().to_string();
    let (network, _) = address.rsplit_once('.').expect("an IPv4 address");
    let unit = format!(
        "[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/sbin/ip route replace default via {network}.1\\n\
         [Install]\\nWantedBy=multi-user.target\\n"
    );
    for node in NODES {
        lab.on(
            node,
            &format!(
                "printf '{unit}' >/etc/systemd/system/gateway.service && systemctl enable --now gateway"
            ),
        );
    }
}

/// Data on the volume, links on both nodes, the service answering at its address, started by the cluster only.
fn as_described(lab: &TestLab) {
    for node in NODES {
        assert_eq!(lab.on(node, "readlink /var/www").trim(), "/mnt/ctl/var/www");
        lab.on(node, "test -d /var/www.before-hactl/html");
        assert_eq!(lab.try_on(node, "systemctl is-enabled nginx").out.trim(), "disabled");
        lab.wait_on(node, "both sides are whole", SETTLE_LIMIT, "grep -q 'ds:UpToDate/UpToDate' /proc/drbd");
    }
    let holder = lab.on("alpha", "crm_resource --resource ctl --locate --quiet");
    let other = NODES.into_iter().find(|node| *node != holder.trim()).expect("there are two");
    lab.on(holder.trim(), "findmnt --noheadings --output OPTIONS /mnt/ctl | grep -w noatime");
    lab.on(other, "! mountpoint -q /mnt/ctl && ! systemctl is-active nginx");
    let asked = format!("curl -sf --max-time 10 http://{}:8080/active", lab.virtual_ip());
    lab.wait_on(other, "the service answers", SETTLE_LIMIT, &asked);
    assert_eq!(lab.on(other, &asked).trim(), holder.trim(), "the user's own agent says who is active");
}
