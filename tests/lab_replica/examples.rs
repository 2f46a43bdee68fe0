//! The examples for two nodes with one word changed: `drbd` becomes `replica`. Applied, verified, drilled.

use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::TestLab;

use super::volume::{MEMBERS, SYNC_LIMIT, applied, drilled, sides};

/// Where the examples are.
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/inventory");
/// Longest time until a service answers.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// What a service becomes that needs an NFS server in the kernel, where there is none: it starts, stops and moves as that does.
const STAND_IN: &str = "ocf:pacemaker:Dummy";

/// An example whose cluster has the lab's name, with the one word changed.
fn example(lab: &mut TestLab, name: &str) {
    let text = std::fs::read_to_string(format!("{EXAMPLES}/{name}.yml")).expect("the example can be read");
    assert_eq!(text.matches("      drbd:\n").count(), 1, "the word stands there once");
    lab.services = text
        .replace("      drbd:\n", "      replica:\n")
        .replacen(&format!("{name}:"), &format!("{}:", lab.name()), 1)
        .replace(&format!(" {name}/"), &format!(" {EXAMPLES}/{name}/"));
    lab.write();
}

pub(crate) fn nfs_pair() {
    let mut lab = TestLab::up("replica-nfs", &["--nodes", "2"]);
    example(&mut lab, "nfs-pair");
    lab.hactl("validate", &[]).expect(0);
    let serves = lab.try_on("alpha", "grep -qw nfsd /proc/filesystems || modprobe nfsd").code == Some(0);
    if !serves {
        without_a_server(&mut lab);
        lab.say("this machine's kernel has no NFS server, which containers share: stand-ins take its place in the group");
    }
    applied(&lab);
    lab.say("applied and verified; the second plan is empty");
    drilled(&lab);
    let (holder, other) = sides(&lab, "srv");
    lab.on(holder, "findmnt -n /srv");
    lab.on(other, "! mountpoint -q /srv");
    if serves {
        lab.on(other, &format!("mount -t nfs4 {}:/ /mnt && umount /mnt", lab.virtual_ip()));
    }
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
}

/// Only what needs the kernel's NFS server is another thing; everything else is the example's.
fn without_a_server(lab: &mut TestLab) {
    let mut inventory: Value = serde_saphyr::from_str(&lab.services).expect("the example is YAML");
    let barclamps = &mut inventory["clusters"][lab.name()]["barclamps"];
    let services =
        barclamps["replica"]["volumes"]["srv"]["services"].as_object_mut().expect("it has services");
    assert!(!services.is_empty());
    services.values_mut().for_each(|service| *service = json!({ "primitive": STAND_IN }));
    barclamps["files"]["units"] = json!({});
    lab.services = inventory.to_string();
    lab.write();
}

pub(crate) fn controller_pair() {
    let mut lab = TestLab::up("replica-ctl", &["--nodes", "2"]);
    example(&mut lab, "controller-pair");
    // A public network has a gateway, without which there is nothing to say a source address of; that of a lab has none.
    let address = lab.virtual_ip().to_string();
    let (network, _) = address.rsplit_once('.').expect("an IPv4 address");
    MEMBERS.iter().for_each(|node| drop(lab.on(node, &format!("ip route replace default via {network}.1"))));
    applied(&lab);
    let client = "apt-get -qq update >/dev/null && apt-get -qq -y install curl >/dev/null 2>&1";
    MEMBERS.iter().for_each(|node| drop(lab.on(node, client)));
    as_described(&lab);
    lab.say("applied and verified; the second plan is empty");
    drilled(&lab);
    as_described(&lab);
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
}

/// Data on the volume, links on both nodes, the service answering at its address.
fn as_described(lab: &TestLab) {
    for node in MEMBERS {
        assert_eq!(lab.on(node, "readlink /var/www").trim(), "/mnt/ctl/var/www");
        lab.on(node, "test -d /var/www.before-hactl/html");
        let equal = "[ \"$(hactl-replica dstate ctl)\" = UpToDate/UpToDate ]";
        lab.wait_on(node, "both sides are whole", SYNC_LIMIT, equal);
    }
    let (holder, other) = sides(lab, "ctl");
    lab.on(other, "! mountpoint -q /mnt/ctl && ! systemctl is-active nginx");
    let asked = format!("curl -sf --max-time 10 http://{}:8080/active", lab.virtual_ip());
    lab.wait_on(other, "the service answers", ANSWER_LIMIT, &asked);
    assert_eq!(lab.on(other, &asked).trim(), holder, "the user's own agent says who is active");
}
