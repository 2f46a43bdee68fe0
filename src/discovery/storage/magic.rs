//! What is recognised by its own bytes, because libblkid does not know it in any version, or not in all that are in use.

use crate::facts::Signature;

/// `SBD_SBD_`, at the very start (sbd(8); `sector_header_s` of its `sbd.h`).
const SBD: &[u8] = b"SBD_SBD_";
/// Where the header's minor version stands, and behind it the UUID that versions above 0 have.
const SBD_MINOR_OFFSET: usize = 32;
/// Bytes of a UUID.
const UUID_BYTES: usize = 16;

/// Ceph BlueStore's label, followed by the UUID as text.
const BLUESTORE: &[u8] = b"bluestore block device\n";
/// Characters of a UUID as text.
const UUID_CHARS: usize = 36;

/// Where DRBD's magic number stands in its superblock, whatever the version since 8.0.
const DRBD_MAGIC_OFFSET: usize = 60;
/// v08, v08 that was not shut down, v09 (drbd-utils, `drbdmeta`).
const DRBD: [u32; 3] = [0x8374_026b, 0x8374_026c, 0x8374_026d];
/// Where the superblock holds the device's UUID.
const DRBD_UUID_OFFSET: usize = 48;

/// Where bcache's and bcachefs's superblock stands, and the magic within it.
const BCACHE_OFFSET: u64 = 4096;
const BCACHE_MAGIC_OFFSET: usize = 24;
const BCACHE: [u8; 16] = *b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81";
const BCACHEFS: [u8; 16] = *b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef";

/// What these bytes, found at this place of a device, are the beginning of.
pub(super) fn recognise(offset: u64, bytes: &[u8]) -> Option<Signature> {
    if offset == 0 {
        if bytes.starts_with(SBD) {
            return Some(signature(0, "sbd", sbd_uuid(bytes)));
        }
        if let Some(rest) = bytes.strip_prefix(BLUESTORE) {
            let uuid =
                rest.get(..UUID_CHARS).and_then(|uuid| std::str::from_utf8(uuid).ok()).map(str::to_owned);
            return Some(signature(0, "ceph_bluestore", uuid));
        }
    }
    if offset == BCACHE_OFFSET {
        let magic = bytes.get(BCACHE_MAGIC_OFFSET..BCACHE_MAGIC_OFFSET + BCACHE.len());
        if let Some(kind) = magic.and_then(|magic| {
            [(BCACHE, "bcache"), (BCACHEFS, "bcachefs")].into_iter().find(|(known, _)| known == magic)
        }) {
            return Some(signature(offset + BCACHE_MAGIC_OFFSET as u64, kind.1, None));
        }
    }
    drbd(offset, bytes)
}

/// The superblock is at the end of a device with internal metadata; on a device that holds the metadata of others it is
/// at the start and at every multiple of 128 MiB.
fn drbd(offset: u64, bytes: &[u8]) -> Option<Signature> {
    let magic: [u8; 4] = bytes.get(DRBD_MAGIC_OFFSET..DRBD_MAGIC_OFFSET + 4)?.try_into().ok()?;
    if !DRBD.contains(&u32::from_be_bytes(magic)) {
        return None;
    }
    let uuid: Option<[u8; 8]> =
        bytes.get(DRBD_UUID_OFFSET..DRBD_UUID_OFFSET + 8).and_then(|uuid| uuid.try_into().ok());
    let uuid = uuid.map(u64::from_be_bytes).filter(|uuid| *uuid != 0).map(|uuid| format!("{uuid:x}"));
    Some(signature(offset + DRBD_MAGIC_OFFSET as u64, "drbd", uuid))
}

fn sbd_uuid(header: &[u8]) -> Option<String> {
    let minor = *header.get(SBD_MINOR_OFFSET)?;
    let bytes: [u8; UUID_BYTES] = header.get(SBD_MINOR_OFFSET + 1..)?.get(..UUID_BYTES)?.try_into().ok()?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let groups = [hex.get(..8)?, hex.get(8..12)?, hex.get(12..16)?, hex.get(16..20)?, hex.get(20..)?];
    (minor > 0).then(|| groups.join("-"))
}

fn signature(offset: u64, kind: &str, uuid: Option<String>) -> Signature {
    Signature { offset: Some(offset), kind: kind.to_owned(), uuid, label: None }
}
