//! Single words about a volume, for scripts: as `drbdadm` has them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use drbd_meta::{BLOCK_BYTES, DeviceFlags};
use replicad::disk::{self, LastKnown, MetadataError, StoreError};
use serde_json::Value;

use super::{CommandError, ExitCode};

/// What is told of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Its role here.
    Role,
    /// The connection to the peer with a disk.
    Connection,
    /// The disks, here and there.
    Disks,
}

/// The word that a status has for it.
pub(super) fn of_status(status: &Value, word: Word) -> String {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or("Unknown").to_owned();
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let device = list(status, "devices").into_iter().next().unwrap_or_default();
    let diskful =
        |peer: &Value| list(peer, "peer_devices").iter().all(|device| device["peer-client"] != true);
    let peer = list(status, "connections").into_iter().find(diskful).unwrap_or_default();
    let peer_device = list(&peer, "peer_devices").into_iter().next().unwrap_or_default();
    match word {
        Word::Role => text(status, "role"),
        Word::Connection => text(&peer, "connection-state"),
        Word::Disks => format!("{}/{}", text(&device, "disk-state"), text(&peer_device, "peer-disk-state")),
    }
}

/// The generations of the data on a disk, as `drbdmeta get-gi` writes them: current, the one that the changes for the peer
/// are based on, two older ones, and flags, of which only the first is told (consistent). The disk may be in use, and may have
/// grown since its metadata was made.
///
/// # Errors
/// It cannot be read, or holds no metadata.
pub(super) fn generations(disk: &Path, known: &LastKnown, peer: u8) -> Result<String, CommandError> {
    let failed = |error: &dyn std::error::Error| CommandError::local(&disk.display().to_string(), error);
    let file = File::open(disk).map_err(|error| failed(&error))?;
    let bytes = rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0)).map_err(|error| failed(&error))?;
    let last_known = known.bytes(disk).map_err(|error| failed(&error))?;
    let read = |at| -> Result<Vec<u8>, MetadataError> {
        let mut block = vec![0; BLOCK_BYTES];
        let read = file.read_exact_at(&mut block, at);
        let failed = |source| StoreError::Io { what: "read", path: disk.to_owned(), source };
        read.map_err(failed)?;
        Ok(block)
    };
    let found = disk::find(bytes, last_known, read).map_err(|error| match error {
        MetadataError::Superblock(error) => {
            CommandError::new(ExitCode::Blocked, format!("{}: {error}", disk.display()))
        }
        error => failed(&error),
    })?;
    let bitmap = found.peers.get(usize::from(peer)).map_or(0, |slot| slot.bitmap_uuid);
    let [first, second, ..] = found.history_uuids;
    let consistent = u8::from(found.flags.contains(DeviceFlags::CONSISTENT));
    Ok(format!("{:016X}:{bitmap:016X}:{first:016X}:{second:016X}:{consistent}", found.current_uuid))
}

#[cfg(test)]
mod tests {
    use drbd_meta::Layout;

    use super::*;

    #[test]
    fn words_are_those_of_the_peer_with_a_disk() {
        let peer = |client: bool, disk: &str, connection: &str| {
            serde_json::json!({
                "connection-state": connection,
                "peer_devices": [{ "peer-client": client, "peer-disk-state": disk }],
            })
        };
        let status = serde_json::json!({
            "role": "Secondary",
            "devices": [{ "disk-state": "UpToDate" }],
            "connections": [peer(true, "Diskless", "Connected"), peer(false, "Inconsistent", "Connecting")],
        });
        assert_eq!(of_status(&status, Word::Role), "Secondary");
        assert_eq!(of_status(&status, Word::Connection), "Connecting");
        assert_eq!(of_status(&status, Word::Disks), "UpToDate/Inconsistent");
        assert_eq!(of_status(&Value::Null, Word::Disks), "Unknown/Unknown");
    }

    #[test]
    fn generations_of_new_metadata_are_those_that_drbdmeta_writes() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        let bytes = 16 << 20;
        disk.as_file().set_len(bytes).unwrap();
        let new = drbd_meta::create(&Layout::internal(bytes, 1).unwrap());
        let mut image = vec![0; usize::try_from(bytes).unwrap()];
        new.body.iter().chain([&new.superblock]).for_each(|write| write.apply(&mut image));
        disk.as_file().write_all_at(&image, 0).unwrap();
        let zero = "0000000000000000";
        let expected = format!("0000000000000004:{zero}:{zero}:{zero}:0");
        let folder = tempfile::tempdir().unwrap();
        let known = LastKnown::new(folder.path().join("r0.disk"));
        assert_eq!(generations(disk.path(), &known, 1).unwrap(), expected);
        disk.as_file().set_len(2 * bytes).unwrap();
        assert!(generations(disk.path(), &known, 1).is_err());
        known.note(disk.path(), bytes).unwrap();
        assert_eq!(generations(disk.path(), &known, 1).unwrap(), expected);
        disk.as_file().write_all_at(&[0; 4096], bytes - 4096).unwrap();
        assert!(generations(disk.path(), &known, 1).is_err());
    }
}
