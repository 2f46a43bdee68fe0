//! Superblocks of DRBD 8, and telling them from those of DRBD 9 and from none.
//!
//! DRBD 8.4 writes the same layout with one slot in the bitmap; `drbdmeta` converts. Here it is read only.

use crate::fields::{Block, block, i32_at, u32_at, u64_at};
use crate::superblock::{AT_MAGIC, MAGIC, MAGIC_V09};

/// Of DRBD 8, stopped in good order.
const MAGIC_V08: u32 = MAGIC + 4;
/// Of DRBD 8.4, in use or crashed.
const MAGIC_V84_UNCLEAN: u32 = MAGIC + 5;

/// What a device's last 4 KiB block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognised {
    /// Metadata of DRBD 9: to be read with [`crate::Superblock::decode`].
    V09,
    /// Metadata of DRBD 8.
    V08(SuperblockV08),
    /// None.
    Nothing,
}

/// What a superblock of DRBD 8 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuperblockV08 {
    /// Sectors of data that both nodes agreed on.
    pub effective_sectors: u64,
    /// The current generation.
    pub current_uuid: u64,
    /// The generation against which the bitmap counts.
    pub bitmap_uuid: u64,
    /// Older generations, the youngest first.
    pub history_uuids: [u64; 2],
    /// The device's identity.
    pub device_uuid: u64,
    /// Flags of the device and its one peer.
    pub flags: u32,
    /// Whether DRBD 8.4 was using it and has not stopped in good order.
    pub unclean: bool,
    /// Sectors of all of the metadata.
    pub metadata_sectors: u32,
    /// Sectors from the superblock to the activity log.
    pub log_offset_sectors: i32,
    /// Sectors from the superblock to the bitmap.
    pub bitmap_offset_sectors: i32,
    /// Stripes of the activity log.
    pub log_stripes: u32,
    /// Blocks of 4 KiB per stripe.
    pub log_stripe_blocks: u32,
}

/// Looks at a block: the device's last whole 4 KiB for internal metadata, its first for external one.
#[must_use]
pub fn recognise(bytes: &[u8]) -> Recognised {
    let Some(raw) = block(bytes) else { return Recognised::Nothing };
    match u32_at(raw, AT_MAGIC) {
        MAGIC_V09 => Recognised::V09,
        MAGIC_V08 => Recognised::V08(read(raw, false)),
        MAGIC_V84_UNCLEAN => Recognised::V08(read(raw, true)),
        _ => Recognised::Nothing,
    }
}

fn read(raw: &Block, unclean: bool) -> SuperblockV08 {
    let (stripes, stripe_blocks) = match (u32_at(raw, 88), u32_at(raw, 92)) {
        // Before 8.4 the activity log had a fixed size, and these fields did not exist.
        (0, 0) => (1, crate::layout::DEFAULT_LOG_BLOCKS),
        found => found,
    };
    SuperblockV08 {
        effective_sectors: u64_at(raw, 0),
        current_uuid: u64_at(raw, 8),
        bitmap_uuid: u64_at(raw, 16),
        history_uuids: [u64_at(raw, 24), u64_at(raw, 32)],
        device_uuid: u64_at(raw, 40),
        flags: u32_at(raw, 56),
        unclean,
        metadata_sectors: u32_at(raw, 64),
        log_offset_sectors: i32_at(raw, 68),
        bitmap_offset_sectors: i32_at(raw, 76),
        log_stripes: stripes,
        log_stripe_blocks: stripe_blocks,
    }
}
