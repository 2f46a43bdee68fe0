//! The engines, and a volume of one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::drbd::SectionName;

/// What replicates a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// The kernel's DRBD.
    Drbd,
    /// hactl's own, in userspace.
    Replica,
}

/// A volume of an engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VolumeId {
    /// What replicates it.
    pub engine: Engine,
    /// Its name: DRBD's resource.
    #[serde(rename = "volume")]
    pub name: String,
    /// The number of its device, where the engine has numbers.
    pub minor: u32,
}

/// What DRBD 8.4 keeps at the end of the disk beside the bitmap, in bytes: the superblock and the activity log.
const DRBD_FIXED_BYTES: u64 = 4096 + 32 * 1024;
/// Metadata begins and ends at multiples of this many bytes.
const METADATA_ALIGN_BYTES: u64 = 4096;
/// How many bytes of the volume one byte of the bitmap stands for: a bit for 4 KiB.
const BITMAP_BYTES_PER_BYTE: u64 = 8 * 4096;

/// Options of DRBD that the engine `replica` has, by section (docs/replica.md). Those of `startup` are about DRBD's own
/// script at boot, which Pacemaker does not use either: they are taken and mean nothing.
const REPLICA_NET: [&str; 13] = [
    "after-sb-0pri",
    "after-sb-1pri",
    "after-sb-2pri",
    "congestion-extents",
    "congestion-fill",
    "connect-int",
    "csums-alg",
    "ko-count",
    "on-congestion",
    "ping-int",
    "ping-timeout",
    "shared-secret",
    "timeout",
];
const REPLICA_DISK: [&str; 6] =
    ["al-extents", "c-fill-target", "c-max-rate", "c-min-rate", "fencing", "on-io-error"];
const REPLICA_OPTIONS: [&str; 2] = ["on-no-quorum", "quorum"];
const REPLICA_HANDLERS: [&str; 7] = [
    "after-resync-target",
    "before-resync-target",
    "fence-peer",
    "local-io-error",
    "pri-lost-after-sb",
    "split-brain",
    "unfence-peer",
];

impl Engine {
    /// Its word in the inventory.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Drbd => "drbd",
            Self::Replica => "replica",
        }
    }

    /// What it is called in sentences.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Drbd => "DRBD",
            Self::Replica => "the replication engine",
        }
    }

    /// The shell functions by which a volume is worked with: `locate`, which sets `$dev` and stops unless the volume lies
    /// on `$path`; `role`, `connection`, `disks`, `generation`, which tell of it; and the verbs.
    #[must_use]
    pub const fn functions(self) -> &'static str {
        match self {
            Self::Drbd => include_str!("drbd.sh"),
            Self::Replica => include_str!("replica.sh"),
        }
    }

    /// The shell text that tells of one volume: `$volume`, `$minor` and `$disk` are set, that of [`LOOK_AT_ALL`] ran, and
    /// `holders` is a function that does what `HOLDERS` of discovery does.
    ///
    /// [`LOOK_AT_ALL`]: Self::LOOK_AT_ALL
    #[must_use]
    pub const fn look_at_one(self) -> &'static str {
        match self {
            Self::Drbd => include_str!("drbd_probe.sh"),
            Self::Replica => include_str!("replica_probe.sh"),
        }
    }

    /// The shell text that tells how all volumes of all engines are.
    pub const LOOK_AT_ALL: &'static str = include_str!("all_probe.sh");

    /// Where it tells of a volume, on its node.
    #[must_use]
    pub fn log(self, volume: &str) -> String {
        match self {
            Self::Drbd => "`dmesg` and `drbdadm status`".to_owned(),
            Self::Replica => format!("`journalctl -u hactl-replica@{volume}`"),
        }
    }

    /// Whether the running kernel needs a module for it.
    #[must_use]
    pub const fn needs_module(self) -> bool {
        matches!(self, Self::Drbd)
    }

    /// Whether changed options are taken over while the volume is in use.
    #[must_use]
    pub const fn adjusts_in_use(self) -> bool {
        matches!(self, Self::Drbd)
    }

    /// How much of a disk is left for the volume beside internal metadata for one peer.
    #[must_use]
    pub fn usable_bytes(self, disk_bytes: u64) -> u64 {
        match self {
            // drbd_sizeof_md and the like in drbd-utils.
            Self::Drbd => {
                let disk = disk_bytes / METADATA_ALIGN_BYTES * METADATA_ALIGN_BYTES;
                let bitmap = disk.div_ceil(BITMAP_BYTES_PER_BYTE).next_multiple_of(METADATA_ALIGN_BYTES);
                disk.saturating_sub(DRBD_FIXED_BYTES + bitmap)
            }
            Self::Replica => {
                drbd_meta::Layout::internal(disk_bytes, 1).map_or(0, |layout| layout.data_bytes())
            }
        }
    }

    /// What is wrong with an option that DRBD has; `None` when this engine has it, too.
    #[must_use]
    pub fn missing_option(self, section: SectionName, name: &str) -> Option<String> {
        let known: &[&str] = match (self, section) {
            (Self::Drbd, _) | (Self::Replica, SectionName::Startup) => return None,
            (Self::Replica, SectionName::Net) => &REPLICA_NET,
            (Self::Replica, SectionName::Disk) => &REPLICA_DISK,
            (Self::Replica, SectionName::Options) => &REPLICA_OPTIONS,
            (Self::Replica, SectionName::Handlers) => &REPLICA_HANDLERS,
        };
        if known.contains(&name) {
            return None;
        }
        Some(format!("DRBD has `{name}`, and the engine `replica` has not; it has {}", known.join(", ")))
    }
}

impl VolumeId {
    /// The path of its device, where it is Primary.
    #[must_use]
    pub fn device(&self) -> String {
        match self.engine {
            Engine::Drbd => format!("/dev/drbd{}", self.minor),
            Engine::Replica => format!("/dev/hactl/by-res/{}", self.name),
        }
    }

    /// The file that describes it on its nodes.
    #[must_use]
    pub fn file(&self) -> String {
        match self.engine {
            Engine::Drbd => format!("/etc/drbd.d/{}.res", self.name),
            Engine::Replica => format!("/etc/hactl/replica/{}.yml", self.name),
        }
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use replicad::settings::Settings;

    use super::*;

    /// A volume's file with one more option.
    fn settings(section: &str, name: &str, value: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("srv.yml");
        let protection = if name == "shared-secret" { "" } else { "unprotected: true" };
        let net =
            if section == "net" { format!("{protection}\n  {name}: {value}") } else { protection.to_owned() };
        let other = if section == "net" { String::new() } else { format!("{section}:\n  {name}: {value}\n") };
        let nodes = "alpha: { id: 0, address: \"10.0.0.1:7788\", disk: /dev/vdb }";
        std::fs::write(&path, format!("version: 1\nnodes:\n  {nodes}\nnet:\n  {net}\n{other}")).unwrap();
        Settings::read(&path, "srv", Some("alpha")).map_err(|error| error.to_string())
    }

    /// A value that an option can have.
    fn sample(name: &str) -> &'static str {
        match name {
            "on-congestion" => "block",
            "on-io-error" => "detach",
            "on-no-quorum" => "suspend-io",
            "quorum" => "majority",
            "csums-alg" => "sha1",
            "shared-secret" => "0123456789abcdef",
            name if name.starts_with("after-sb") => "disconnect",
            _ => "7",
        }
    }

    #[test]
    fn the_engine_takes_every_option_that_it_is_said_to_have() {
        let sections: [(&str, &[&str]); 3] =
            [("net", &REPLICA_NET), ("disk", &REPLICA_DISK), ("options", &REPLICA_OPTIONS)];
        for (section, names) in sections {
            // `fencing` stands in `disk` in the inventory and in `net` in the engine's file, as with DRBD 9.
            for name in names.iter().filter(|name| **name != "fencing") {
                let read = settings(section, name, sample(name));
                assert!(read.is_ok(), "{section} {name}: {read:?}");
            }
        }
        assert!(settings("net", "verify-alg", "sha1").is_err(), "what it has not, it refuses");
    }

    #[test]
    fn an_option_that_only_drbd_has_is_named() {
        assert_eq!(Engine::Drbd.missing_option(SectionName::Net, "verify-alg"), None);
        assert_eq!(Engine::Replica.missing_option(SectionName::Startup, "wfc-timeout"), None);
        let said = Engine::Replica.missing_option(SectionName::Net, "verify-alg").unwrap();
        assert!(said.contains("`verify-alg`") && said.contains("ping-int"), "{said}");
    }

    #[test]
    fn a_disk_leaves_room_for_metadata() {
        for engine in [Engine::Drbd, Engine::Replica] {
            let usable = engine.usable_bytes(256 << 20);
            assert!(usable < 256 << 20 && usable > 255 << 20, "{engine:?} {usable}");
            assert_eq!(engine.usable_bytes(4096), 0);
        }
    }
}
