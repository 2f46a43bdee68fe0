//! What stands in the way of a volume of kernel DRBD on machines that have nothing yet: each is refused by name, nothing is
//! written, and it is enough to take it away.

use crate::lab::TestLab;

/// The disk that the volume is to have on beta.
const DISK: &str = "/dev/disk/by-id/virtio-beta-data1";
/// Where the module is, and where it is put out of the way.
const MODULE: &str = "$(modinfo -n drbd)";
const HIDDEN: &str = "/root/drbd.ko";

/// On a lab whose nodes have the packages and nothing that runs.
pub(crate) fn refusals(lab: &mut TestLab) {
    lab.services = format!(
        "clusters:\n  {}:\n    claims: {{ alpha: {{ srv: {{ serial: alpha-data1 }} }}, beta: {{ srv: {{ serial: beta-data1 }} }} }}\n    \
         barclamps: {{ drbd: {{ volumes: {{ srv: {{}} }} }} }}\n",
        lab.name()
    );
    lab.write();
    lab.on("beta", &format!("mkfs.ext4 -q -L theirs {DISK}"));
    refused(lab, &["blocked beta: claim:drbd:srv", "holds ext4/", "label \"theirs\""]);
    lab.on("beta", &format!("wipefs --all --quiet {DISK} && ! blkid --probe {DISK}"));

    lab.on("beta", &format!("drbdmeta --force 7 v08 {DISK} internal create-md >/dev/null"));
    refused(lab, &["blocked beta: claim:drbd:srv", "holds drbd/none"]);
    lab.on("beta", &format!("drbdmeta --force 7 v08 {DISK} internal wipe-md >/dev/null"));

    // Loaded at boot, because the package with its tools is there.
    lab.on(
        "alpha",
        &format!(
            "rmmod drbd; file={MODULE}; mv \"$file\" {HIDDEN} && echo \"$file\" >{HIDDEN}.from && depmod"
        ),
    );
    refused(lab, &["blocked alpha: volume:srv", "no module `drbd`", "linux-image-amd64"]);
    lab.on("alpha", &format!("mv {HIDDEN} \"$(cat {HIDDEN}.from)\" && depmod"));

    lab.fault(&["partition", "alpha", "beta", "--network", "2"]);
    let ran = lab.hactl("apply", &["--yes"]).expect(5);
    assert!(ran.err.contains("does not pass from alpha") && ran.err.contains("link 1"), "{ran}");
    assert!(ran.err.contains("Nothing was changed"), "{ran}");
    lab.fault(&["heal"]);
    lab.hactl("plan", &["--detailed-exitcode"])
        .expect(2)
        .says("make metadata on alpha, make metadata on beta");
    lab.say("what is in a volume's way is refused by name; without it there is a plan");
}

/// The plan is refused and says all this.
#[track_caller]
fn refused(lab: &TestLab, words: &[&str]) {
    let ran = lab.hactl("plan", &[]).expect(5);
    let said = format!("{}{}", ran.out, ran.err);
    for word in words {
        assert!(said.contains(word), "`{word}` is to be said\n{ran}");
    }
}
