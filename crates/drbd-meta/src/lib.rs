//! DRBD 9's internal metadata (v09), without I/O.
//!
//! In: bytes read from the end of a backing device. Out: typed values ([`Superblock`], [`Bitmap`], the active set of the
//! [`ActivityLog`]), and [`Write`]s: bytes with the offset where they belong. Never opens a device, never decides about
//! states or generations; that is the engine's. `docs/on-disk-format.md` describes the format.
//!
//! ```
//! use drbd_meta::{Bitmap, Layout, Superblock, Write, create};
//!
//! let mut device = vec![0_u8; 64 << 20];
//! let layout = Layout::internal(device.len() as u64, 2)?;
//! let new = create(&layout);
//! for write in new.body.iter().chain([&new.superblock]) {
//!     write.apply(&mut device);
//! }
//! let at = layout.superblock_at() as usize;
//! let read = Superblock::decode(&device[at..], device.len() as u64)?;
//! assert!(read.is_just_created());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bitmap;
mod create;
mod fields;
mod flags;
mod layout;
mod log;
mod recover;
mod replay;
mod superblock;
mod transaction;
mod v08;
mod write;

pub use bitmap::{Bitmap, BitmapError};
pub use create::{Creation, create};
pub use flags::{DeviceFlags, PeerFlags};
pub use layout::{
    BLOCK_BYTES, DEFAULT_LOG_BLOCKS, EXTENT_BYTES, Layout, LayoutError, MAX_DEVICE_BYTES, MAX_LOG_BLOCKS,
    MAX_PEERS, MIN_DEVICE_BYTES, SECTOR_BYTES,
};
pub use log::{ActivityLog, LogError};
pub use recover::{Recovery, RecoveryError, recover};
pub use replay::{ReplayError, replay};
pub use superblock::{JUST_CREATED, PeerSlot, Superblock, SuperblockError};
pub use transaction::{
    CONTEXT_PER_TRANSACTION, MAX_EXTENTS, Transaction, TransactionError, UPDATES_PER_TRANSACTION,
    encode_update,
};
pub use v08::{Recognised, SuperblockV08, recognise};
pub use write::Write;

#[cfg(test)]
mod tests;
