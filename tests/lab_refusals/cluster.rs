//! A cluster that runs: what is somebody else's in it, what does not work in it, and a large CIB.

use std::fmt::Write as _;
use std::time::Duration;

use crate::setting::{BLOCKED, DIFFERENCES, Setting, UNVERIFIED};

/// What verification may take when it must fail: less than its patience, for Pacemaker has given up.
const GIVEN_UP_LIMIT: Duration = Duration::from_secs(100);
/// Objects of somebody else in the large CIB.
const FOREIGN_TAGS: usize = 1_000;
/// A primitive in the CIB and in the inventory.
const MINE: &str = "    resources:\n      mine: { primitive: \"ocf:heartbeat:Dummy\" }\n";

pub(crate) fn what_is_not_ours_or_of_another_name(setting: &mut Setting) {
    setting.lab.on(
        "beta",
        "cibadmin --create --scope resources --xml-text '<primitive id=\"mine\" class=\"ocf\" provider=\"heartbeat\" \
         type=\"Dummy\"><meta_attributes id=\"mine-meta\"><nvpair id=\"mine-meta-role\" name=\"target-role\" \
         value=\"Stopped\"/></meta_attributes></primitive>' && crm_resource --wait",
    );
    let says = ["primitive `mine`", "was not made by hactl", "target-role", "what to do: "];
    setting.refused(
        "an object of the same name that is not ours",
        &setting.apply().more(MINE),
        BLOCKED,
        &says,
    );
    let told = setting.run(&setting.attempt("plan", &["--detailed-exitcode"])).expect(0);
    told.says("not made by hactl, left alone: primitive `mine`");
    setting.lab.on("beta", "cibadmin --delete --xml-text '<primitive id=\"mine\"/>' && crm_resource --wait");
    let name = setting.lab.name().to_owned();
    let mut renamed = setting.apply();
    for text in [&mut renamed.nodes, &mut renamed.services] {
        *text = text.replace(&format!("\n  {name}:"), "\n  sales:");
    }
    let says = ["blocked alpha: ", "belongs to the cluster", &name, "hactl destroy"];
    setting.refused("nodes that belong to a cluster of another name", &renamed, BLOCKED, &says);
}

pub(crate) fn resources_and_fence_devices_that_do_not_work(setting: &mut Setting) {
    let broken = "    resources:\n      broken: { primitive: \"ocf:heartbeat:Filesystem\", params: \
                  { device: /dev/no-such-device, directory: /mnt, fstype: ext4 } }\n      absent: { primitive: \"ocf:heartbeat:NoSuchAgent\" }\n";
    let ran = setting.run(&setting.apply().more(broken)).expect(UNVERIFIED);
    ran.warns("broken does not run:")
        .warns("absent does not run:")
        .warns("not installed")
        .warns("what to do: ");
    assert!(ran.took < GIVEN_UP_LIMIT, "Pacemaker has given up: that is not waited for\n{ran}");
    setting.lab.say("resources that do not start: applied, not verified (8), each named with the reason");
    let removed = setting.run(&setting.apply()).expect(0);
    removed.says("- primitive `broken`").warns("Verified");

    let secret = setting.quoted("password: { file");
    let wrong = setting.file("wrong-fence-password", "not-the-fence-password\n");
    let ran = setting.run(&setting.apply().nodes(&secret, &wrong)).expect(UNVERIFIED);
    for device in ["fence-alpha", "fence-beta", "fence-gamma"] {
        ran.warns(&format!("{device} does not run:"));
    }
    assert!(
        !ran.err.contains("not-the-fence-password") && !ran.out.contains("not-the-fence-password"),
        "{ran}"
    );
    setting.lab.say("a wrong password of the fence devices: applied, not verified (8), the devices named");
    setting.run(&setting.apply()).expect(0).warns("Verified");
    setting.lab.say("the right password again: verified");
}

/// Thousands of objects that somebody else made change nothing, and a change among them is one change.
pub(crate) fn a_large_cib(setting: &mut Setting) {
    let mut tags = String::from("<tags>");
    for number in 0..FOREIGN_TAGS {
        let _ = write!(tags, "<tag id=\"somebodys-tag-{number}\"><obj_ref id=\"web-ip\"/></tag>");
    }
    tags.push_str("</tags>");
    let file = setting.file("tags.xml", &tags);
    copy(setting, &file, "beta", "/root/tags.xml");
    // Section by section, so that ours stay.
    setting.lab.on(
        "beta",
        "sed 's,</*tags>,,g; s,</tag>,</tag>\\n,g' /root/tags.xml >/root/each && cibadmin --query --scope tags \
         | sed '$d' >/root/all && cat /root/each >>/root/all && echo '</tags>' >>/root/all \
         && cibadmin --replace --scope tags --xml-file /root/all",
    );
    let quiet = setting.run(&setting.attempt("plan", &["--detailed-exitcode"])).expect(0);
    quiet.says("left alone: tag `somebodys-tag-0`, ").says(" and 960 more").says("Nothing to do");
    let more = "    resources:\n      idle: { primitive: \"ocf:heartbeat:Dummy\" }\n";
    let mut plan = setting.attempt("plan", &["--detailed-exitcode"]).more(more);
    setting.run(&plan).expect(DIFFERENCES).says("1 change in");
    plan.verb = "apply";
    plan.arguments = vec!["--yes"];
    setting.run(&plan).expect(0).warns("Verified");
    setting.lab.say(&format!("a CIB of {} KiB with {FOREIGN_TAGS} foreign objects", tags.len() / 1024));
}

/// Copies a file of this machine to a node.
fn copy(setting: &Setting, from: &str, node: &str, to: &str) {
    use std::process::{Command, Stdio};
    let mut command = Command::new("ssh");
    let (key, known) = (setting.quoted("identity"), setting.quoted("known_hosts"));
    command.args(["-i", &key, "-o", &format!("UserKnownHostsFile={known}"), "-o", "BatchMode=yes"]);
    command.arg(format!("root@{}", setting.address(node, 0))).arg(format!("cat >{to}"));
    let file = std::fs::File::open(from).expect("the file");
    let sent = command.stdin(Stdio::from(file)).stderr(Stdio::null()).status().expect("ssh starts");
    assert!(sent.success(), "copying {from} to {node}");
}
