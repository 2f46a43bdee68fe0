//! What was seen of replication on one node, and of one volume's disk there.
//!
//! In: the lines of the probe (`discovery/drbd.rs`): a keyword, a blank, the rest. Out: typed values. A line that is not
//! understood is left out.

use std::collections::BTreeMap;

use super::status::{Generations, VolumeStatus, parse_proc_drbd, parse_replica_status, parse_status_json};
use crate::engine::{Engine, VolumeId};

/// Bytes of a sector, whatever the device's own.
const SECTOR_BYTES: u64 = 512;

/// DRBD on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Version of the module, if it is loaded.
    pub module: Option<String>,
    /// The volumes of DRBD that are up, by minor.
    pub volumes: BTreeMap<u32, VolumeStatus>,
    /// The volumes of hactl's own engine that are up, by name.
    pub replicas: BTreeMap<String, VolumeStatus>,
    /// Their names, by minor, where udev made links.
    pub names: BTreeMap<u32, String>,
    /// The generations of the volume's data, where there is metadata.
    pub generations: Option<Generations>,
    /// What `drbdadm adjust` would run, each by program and verb.
    pub adjust: Vec<String>,
    /// Size of the backing device in bytes.
    pub disk_bytes: Option<u64>,
    /// Size of the volume's device in bytes, where it is up and attached.
    pub device_bytes: Option<u64>,
    /// Who uses the volume's device, in words.
    pub users: Vec<String>,
    /// What the volume's first bytes are, as they are on the backing device.
    pub head: Head,
}

/// What stands at the beginning of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Head {
    /// It was not read.
    #[default]
    Unknown,
    /// No superblock that is known here; nothing but zeros when `zeros`.
    Nothing {
        /// Whether all bytes that were read are zero.
        zeros: bool,
    },
    /// A file system.
    Filesystem {
        /// Which: `ext4` (also for ext2 and ext3, whose superblock it is) or `xfs`.
        kind: &'static str,
        /// Its UUID.
        uuid: String,
        /// Its label; empty without.
        label: String,
        /// Its size in bytes.
        bytes: u64,
    },
}

impl Observed {
    /// Reads the lines of the probe.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut seen = Self::default();
        let (mut proc, mut json) = (String::new(), String::new());
        for line in text.lines() {
            let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
            match keyword {
                "module" => seen.module = Some(rest.to_owned()),
                "proc" => proc.extend([rest, "\n"]),
                "json" => json.extend([rest, "\n"]),
                "replica" => seen.replicas.extend(parse_replica_status(rest)),
                "name" => {
                    if let Some((minor, name)) = rest.split_once(' ')
                        && let Ok(minor) = minor.parse()
                    {
                        seen.names.insert(minor, name.to_owned());
                    }
                }
                "gi" => seen.generations = Generations::parse(rest),
                "adjust" => seen.adjust.push(rest.to_owned()),
                "disk" => seen.disk_bytes = rest.parse().ok(),
                "device" => {
                    let sectors: Option<u64> = rest.parse().ok();
                    let bytes = sectors.and_then(|sectors| sectors.checked_mul(SECTOR_BYTES));
                    seen.device_bytes = bytes.filter(|bytes| *bytes > 0);
                }
                "user" => seen.users.push(rest.to_owned()),
                "head" => seen.head = Head::of_hex(rest),
                _ => {}
            }
        }
        seen.volumes = if json.is_empty() { parse_proc_drbd(&proc) } else { parse_status_json(&json) };
        seen
    }

    /// How a volume is, where it is up.
    #[must_use]
    pub fn status(&self, volume: &VolumeId) -> Option<&VolumeStatus> {
        match volume.engine {
            Engine::Drbd => self.volumes.get(&volume.minor),
            Engine::Replica => self.replicas.get(&volume.name),
        }
    }

    /// Another volume that has the device of this one.
    #[must_use]
    pub fn other_at(&self, volume: &VolumeId) -> Option<&str> {
        let name = self.names.get(&volume.minor).filter(|_| volume.engine == Engine::Drbd)?;
        (*name != volume.name).then_some(name)
    }

    /// How large a volume is in bytes, where it is up and attached.
    #[must_use]
    pub fn volume_bytes(&self, volume: &VolumeId) -> Option<u64> {
        self.device_bytes.or_else(|| self.status(volume)?.bytes)
    }

    /// All volumes that are up, with their names.
    #[must_use]
    pub fn all(&self) -> Vec<(String, &VolumeStatus)> {
        let name = |minor: &u32| self.names.get(minor).cloned().unwrap_or_else(|| format!("drbd{minor}"));
        let kernel = self.volumes.iter().map(|(minor, status)| (name(minor), status));
        kernel.chain(self.replicas.iter().map(|(name, status)| (name.clone(), status))).collect()
    }
}

/// Offsets in the superblock of ext4, from the start of the device (Documentation/filesystems/ext4/super.rst).
const EXT4_START: usize = 1024;
const EXT4_BLOCKS_LOW: usize = EXT4_START + 0x4;
const EXT4_LOG_BLOCK_SIZE: usize = EXT4_START + 0x18;
const EXT4_MAGIC: usize = EXT4_START + 0x38;
const EXT4_UUID: usize = EXT4_START + 0x68;
const EXT4_LABEL: usize = EXT4_START + 0x78;
const EXT4_BLOCKS_HIGH: usize = EXT4_START + 0x150;
/// Feature bit "64bit" in `s_feature_incompat`.
const EXT4_INCOMPAT: usize = EXT4_START + 0x60;
const EXT4_64BIT: u32 = 0x80;
/// Offsets in the superblock of XFS (`struct xfs_dsb`).
const XFS_BLOCK_SIZE: usize = 4;
const XFS_BLOCKS: usize = 8;
const XFS_UUID: usize = 32;
const XFS_LABEL: usize = 108;
const XFS_LABEL_BYTES: usize = 12;
const EXT4_LABEL_BYTES: usize = 16;
/// Largest block size of ext4 as a power of two above 1 KiB.
const EXT4_MAX_LOG: u32 = 6;

impl Head {
    fn of_hex(text: &str) -> Self {
        let digits = text.as_bytes().chunks_exact(2);
        let bytes: Option<Vec<u8>> =
            digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
        match bytes {
            Some(bytes) if !bytes.is_empty() => Self::of(&bytes),
            _ => Self::Unknown,
        }
    }

    fn of(bytes: &[u8]) -> Self {
        ext4(bytes)
            .or_else(|| xfs(bytes))
            .unwrap_or_else(|| Self::Nothing { zeros: bytes.iter().all(|byte| *byte == 0) })
    }
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn ext4(bytes: &[u8]) -> Option<Head> {
    if part(bytes, EXT4_MAGIC)? != [0x53, 0xef] {
        return None;
    }
    let low = u64::from(u32::from_le_bytes(part(bytes, EXT4_BLOCKS_LOW)?));
    let wide = u32::from_le_bytes(part(bytes, EXT4_INCOMPAT)?) & EXT4_64BIT != 0;
    let high = if wide { u64::from(u32::from_le_bytes(part(bytes, EXT4_BLOCKS_HIGH)?)) } else { 0 };
    let log = u32::from_le_bytes(part(bytes, EXT4_LOG_BLOCK_SIZE)?).min(EXT4_MAX_LOG);
    Some(Head::Filesystem {
        kind: "ext4",
        uuid: uuid(part(bytes, EXT4_UUID)?),
        label: label(bytes.get(EXT4_LABEL..EXT4_LABEL + EXT4_LABEL_BYTES)?),
        bytes: ((high << 32) | low).saturating_mul(1024 << log),
    })
}

fn xfs(bytes: &[u8]) -> Option<Head> {
    if part(bytes, 0)? != *b"XFSB" {
        return None;
    }
    let block = u64::from(u32::from_be_bytes(part(bytes, XFS_BLOCK_SIZE)?));
    Some(Head::Filesystem {
        kind: "xfs",
        uuid: uuid(part(bytes, XFS_UUID)?),
        label: label(bytes.get(XFS_LABEL..XFS_LABEL + XFS_LABEL_BYTES)?),
        bytes: u64::from_be_bytes(part(bytes, XFS_BLOCKS)?).saturating_mul(block),
    })
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn label(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_probe_are_read() {
        let seen = Observed::parse(include_str!("../../tests/fixtures/drbd/observed-84.txt"));
        assert_eq!(seen.module.as_deref(), Some("8.4.11"));
        assert_eq!(seen.names[&0], "data");
        assert!(seen.volumes[&0].is_in_sync());
        assert_eq!(seen.generations.unwrap().current_word(), "CE042D27E92AF922");
        assert_eq!(seen.adjust, ["drbdsetup-84 net-options"]);
        assert_eq!((seen.disk_bytes, seen.device_bytes), (Some(268_435_456), Some(268_390_400)));
        assert_eq!(seen.users, ["mounted at /srv", "multipathd, process 411"]);
        assert_eq!(seen.head, Head::Unknown);
    }

    #[test]
    fn file_systems_are_known_by_their_superblocks() {
        let mut bytes = vec![0_u8; 4096];
        assert_eq!(Head::of(&bytes), Head::Nothing { zeros: true });
        bytes[4000] = 1;
        assert_eq!(Head::of(&bytes), Head::Nothing { zeros: false });
        bytes[EXT4_MAGIC..EXT4_MAGIC + 2].copy_from_slice(&[0x53, 0xef]);
        bytes[EXT4_BLOCKS_LOW..EXT4_BLOCKS_LOW + 4].copy_from_slice(&65525_u32.to_le_bytes());
        bytes[EXT4_LOG_BLOCK_SIZE] = 2;
        bytes[EXT4_LABEL..EXT4_LABEL + 4].copy_from_slice(b"name");
        let Head::Filesystem { kind, label, bytes, .. } = Head::of(&bytes) else { panic!("no file system") };
        assert_eq!((kind, label.as_str(), bytes), ("ext4", "name", 65525 * 4096));
    }
}
