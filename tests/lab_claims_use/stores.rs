//! The lab of these tests: two nodes with two disks each, local file systems, no cluster.

use crate::lab::{Ran, TestLab};
use crate::{kills, sbd, taken};

/// The nodes.
pub(crate) const NODES: [&str; 2] = ["alpha", "beta"];
/// Only `data` is at least as large as this.
pub(crate) const ONE_CANDIDATE: &str = "100MiB";
/// Both disks are.
pub(crate) const TWO_CANDIDATES: &str = "16MiB";
/// The purpose of the file system.
pub(crate) const PURPOSE: &str = "filesystem:data";

pub(crate) fn from_claims_to_written_devices() {
    let mut stores = Stores::up();
    taken::two_candidates_and_no_claim(&mut stores);
    taken::explicit_claims(&mut stores);
    taken::a_disk_with_data(&mut stores);
    taken::one_candidate_and_no_claim(&mut stores);
    taken::released(&mut stores);
    kills::killed_between_claim_and_use(&mut stores);
    kills::killed_after_the_first_write(&mut stores);
    kills::changed_after_the_plan(&mut stores);
    sbd::on_a_shared_disk(&mut stores);
}

/// The lab with the inventory of its file systems.
pub(crate) struct Stores {
    pub(crate) lab: TestLab,
    /// The inventory that the lab printed, with its cluster.
    cluster: String,
}

impl Stores {
    fn up() -> Self {
        let mut lab = TestLab::up("claims", &["--nodes", "2", "--disks", "data=128MiB,extra=64MiB"]);
        // The policy is the test's own.
        let kept = lab.nodes.lines().filter(|line| !line.contains("claim_policy:"));
        let cluster: String = kept.map(|line| format!("{line}\n")).collect();
        // Nothing here needs a cluster.
        let nodes = cluster.split("    barclamps:\n").next().unwrap_or_default();
        lab.nodes = nodes.to_owned();
        Self { lab, cluster }
    }

    /// The inventory asks for one file system per node; `claims` is what it says of devices.
    pub(crate) fn want(&mut self, minimum_size: &str, claims: &str) {
        self.lab.services = format!(
            "clusters:\n  {}:\n    claim_policy: {{ minimum_size: {minimum_size}, device_types: [disk, loop] }}\n    \
             claims: {{ {claims} }}\n    barclamps:\n      filesystem: {{ filesystems: {{ data: {{ mount: /srv/data }} }} }}\n",
            self.lab.name()
        );
        self.lab.write();
    }

    /// The inventory asks for a cluster with SBD.
    pub(crate) fn want_sbd(&mut self, claims: &str) {
        let fencing = self.cluster.find("      pacemaker:\n").expect("the lab sets up fencing");
        self.lab.nodes =
            self.cluster[..fencing].trim_end().trim_end_matches("barclamps:").trim_end().to_owned() + "\n";
        self.lab.services = format!(
            "clusters:\n  {}:\n    claim_policy: {{ minimum_size: 16MiB, device_types: [disk, loop] }}\n    \
             claims: {{ {claims} }}\n    barclamps:\n      pacemaker:\n        fencing: {{ agent: fence_sbd }}\n        \
             sbd: {{ watchdog_timeout_s: 10 }}\n",
            self.lab.name()
        );
        self.lab.write();
    }

    /// The link of a disk.
    pub(crate) fn link(node: &str, disk: &str) -> String {
        format!("/dev/disk/by-id/virtio-{node}-{disk}")
    }

    /// Claims of the same disk on both nodes.
    pub(crate) fn claims(disk: &str) -> String {
        NODES.map(|node| format!("{node}: {{ data: {} }}", Self::link(node, disk))).join(", ")
    }

    /// Runs a line of shell on a node, with its disk as `$d`.
    #[track_caller]
    pub(crate) fn on_disk(&self, node: &str, disk: &str, shell: &str) -> String {
        self.lab.on(node, &format!("d={}; {shell}", Self::link(node, disk)))
    }

    /// What is on every disk, byte for byte; a mounted one is the kernel's to write to.
    pub(crate) fn digests(&self) -> Vec<String> {
        let sum =
            |node, disk| self.on_disk(node, disk, "findmnt --source $(readlink -f $d) || sha256sum <$d");
        NODES.iter().flat_map(|node| ["data", "extra"].map(|disk| sum(node, disk))).collect()
    }

    /// A plan must be refused with 5, and so must applying it; nothing on any disk changes.
    #[track_caller]
    pub(crate) fn refused(&self) -> Ran {
        let before = self.digests();
        self.lab.hactl("plan", &[]).expect(5);
        let apply = self.lab.hactl("apply", &["--yes"]).expect(5);
        assert_eq!(self.digests(), before, "a refusal writes nothing");
        apply
    }

    /// Applies; then there is nothing more to do, and the file systems are mounted.
    #[track_caller]
    pub(crate) fn apply(&self) -> Ran {
        let ran = self.lab.hactl("apply", &["--yes"]).expect(0);
        self.lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
        NODES.iter().for_each(|node| drop(self.lab.on(node, "mountpoint -q /srv/data")));
        ran
    }

    /// Which disk is mounted on a node.
    pub(crate) fn mounted(&self, node: &str) -> String {
        self.lab.on(node, "findmnt --noheadings --output SOURCE /srv/data").trim().to_owned()
    }

    /// The device node of a disk.
    pub(crate) fn device(&self, node: &str, disk: &str) -> String {
        self.on_disk(node, disk, "readlink -f $d").trim().to_owned()
    }

    /// The cluster goes; what is on the disks stays until somebody (here: the test) wipes it.
    #[track_caller]
    pub(crate) fn clear(&self) {
        self.lab.hactl("destroy", &["--yes"]).expect(0);
        for node in NODES {
            self.lab.on(node, "test ! -e /var/lib/hactl && ! mountpoint -q /srv/data");
            for disk in ["data", "extra"] {
                self.on_disk(node, disk, "wipefs --all --quiet $d");
            }
        }
    }
}
