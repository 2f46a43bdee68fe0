//! Where things lie on a device with internal metadata, and how much of it is left for data.
//!
//! `[data][bitmap][activity log][superblock]`, each part a multiple of 4 KiB, the superblock in the last whole 4 KiB
//! block of the device. The bitmap has a bit for each 4 KiB of the *device* (not only of the data) and peer. Facts:
//! drbdmeta 9.22, whose results the tests compare with these.

/// Bytes per block: of metadata, and of what one bit of the bitmap stands for.
pub const BLOCK_BYTES: usize = 4096;
/// Bytes per sector, the unit of offsets in the superblock.
pub const SECTOR_BYTES: u64 = 512;
/// Bytes that one extent of the activity log stands for.
pub const EXTENT_BYTES: u64 = 4 << 20;
/// Most peers that a bitmap can have slots for (`DRBD_PEERS_MAX` is 32, of which one is the node itself).
pub const MAX_PEERS: u8 = 31;
/// Smallest device that drbdmeta takes, in bytes.
pub const MIN_DEVICE_BYTES: u64 = 68 << 10;
/// Largest device, in bytes: 1 PiB.
pub const MAX_DEVICE_BYTES: u64 = 1 << 50;
/// Blocks of an activity log unless something else is asked for: 32 KiB.
pub const DEFAULT_LOG_BLOCKS: u32 = 8;
/// Most blocks of an activity log: 16 MiB.
pub const MAX_LOG_BLOCKS: u32 = 4096;

const BLOCK: u64 = BLOCK_BYTES as u64;
/// Bits of the bitmap are allotted in words of so many.
const BITS_PER_WORD: u64 = 64;
/// Sectors of one block.
const SECTORS_PER_BLOCK: u64 = BLOCK / SECTOR_BYTES;

/// Why metadata cannot lie on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// No room for metadata and a minimum of data.
    #[error("a device of {0} bytes is too small for internal metadata")]
    TooSmall(u64),
    /// More than [`MAX_DEVICE_BYTES`].
    #[error("a device of {0} bytes is larger than the {MAX_DEVICE_BYTES} that are supported")]
    TooLarge(u64),
    /// Not 1 to [`MAX_PEERS`].
    #[error("metadata for {0} peers: it is for 1 to {MAX_PEERS}")]
    Peers(u32),
    /// A ring of no blocks, or of more than [`MAX_LOG_BLOCKS`].
    #[error(
        "an activity log of {stripes} stripes of {stripe_blocks} blocks: 2 to {MAX_LOG_BLOCKS} blocks in all"
    )]
    Log {
        /// Stripes.
        stripes: u32,
        /// Blocks of 4 KiB per stripe.
        stripe_blocks: u32,
    },
}

/// The places of internal metadata on a device of a certain size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    device_bytes: u64,
    peers: u8,
    log_stripes: u32,
    log_stripe_blocks: u32,
}

impl Layout {
    /// For a device of so many bytes and so many peers, with an activity log of [`DEFAULT_LOG_BLOCKS`].
    ///
    /// # Errors
    /// When the device or the number of peers is out of bounds.
    pub const fn internal(device_bytes: u64, peers: u8) -> Result<Self, LayoutError> {
        Self::with_log(device_bytes, peers as u32, 1, DEFAULT_LOG_BLOCKS)
    }

    /// The same with an activity log of `stripes` times `stripe_blocks` blocks.
    ///
    /// # Errors
    /// When anything is out of bounds.
    pub const fn with_log(
        device_bytes: u64,
        peers: u32,
        stripes: u32,
        stripe_blocks: u32,
    ) -> Result<Self, LayoutError> {
        if device_bytes < MIN_DEVICE_BYTES {
            return Err(LayoutError::TooSmall(device_bytes));
        }
        if device_bytes > MAX_DEVICE_BYTES {
            return Err(LayoutError::TooLarge(device_bytes));
        }
        if peers == 0 || peers > MAX_PEERS as u32 {
            return Err(LayoutError::Peers(peers));
        }
        let blocks = match stripes.checked_mul(stripe_blocks) {
            Some(blocks) => blocks,
            None => u32::MAX,
        };
        // One block is always being overwritten, so that a ring of one would hold nothing.
        if blocks < 2 || blocks > MAX_LOG_BLOCKS {
            return Err(LayoutError::Log { stripes, stripe_blocks });
        }
        // `peers` is at most 31.
        let layout =
            Self { device_bytes, peers: peers as u8, log_stripes: stripes, log_stripe_blocks: stripe_blocks };
        if layout.metadata_bytes() >= layout.superblock_at() + BLOCK {
            return Err(LayoutError::TooSmall(device_bytes));
        }
        Ok(layout)
    }

    /// The size of the whole device in bytes.
    #[must_use]
    pub const fn device_bytes(&self) -> u64 {
        self.device_bytes
    }

    /// Slots of the bitmap.
    #[must_use]
    pub const fn peers(&self) -> u8 {
        self.peers
    }

    /// Stripes of the activity log.
    #[must_use]
    pub const fn log_stripes(&self) -> u32 {
        self.log_stripes
    }

    /// Blocks per stripe of the activity log.
    #[must_use]
    pub const fn log_stripe_blocks(&self) -> u32 {
        self.log_stripe_blocks
    }

    /// Blocks of the activity log.
    #[must_use]
    pub const fn log_blocks(&self) -> u32 {
        self.log_stripes * self.log_stripe_blocks
    }

    /// Bytes of the activity log.
    #[must_use]
    pub const fn log_bytes(&self) -> u64 {
        self.log_blocks() as u64 * BLOCK
    }

    /// Bytes of the bitmap for a device of so many bytes: a bit per 4 KiB, whole words, all peers, whole blocks.
    #[must_use]
    pub const fn bitmap_bytes_for(&self, bytes: u64) -> u64 {
        let bits = bytes.div_ceil(BLOCK).next_multiple_of(BITS_PER_WORD);
        (bits / 8 * self.peers as u64).next_multiple_of(BLOCK)
    }

    /// Bytes set aside for the bitmap.
    #[must_use]
    pub const fn bitmap_bytes(&self) -> u64 {
        // Counted in whole sectors, as drbdmeta does.
        self.bitmap_bytes_for(self.device_bytes / SECTOR_BYTES * SECTOR_BYTES)
    }

    /// Bytes of bitmap, log and superblock together.
    #[must_use]
    pub const fn metadata_bytes(&self) -> u64 {
        self.bitmap_bytes() + self.log_bytes() + BLOCK
    }

    /// Offset of the superblock in bytes: the last whole block of the device.
    #[must_use]
    pub const fn superblock_at(&self) -> u64 {
        (self.device_bytes - BLOCK) / BLOCK * BLOCK
    }

    /// Offset of the activity log in bytes.
    #[must_use]
    pub const fn log_at(&self) -> u64 {
        self.superblock_at() - self.log_bytes()
    }

    /// Offset of the bitmap in bytes, which is where data ends.
    #[must_use]
    pub const fn bitmap_at(&self) -> u64 {
        self.log_at() - self.bitmap_bytes()
    }

    /// Bytes that are left for data, a multiple of 4096.
    #[must_use]
    pub const fn data_bytes(&self) -> u64 {
        self.bitmap_at()
    }

    /// Blocks of 4 KiB that are left for data: what the bitmap has bits for.
    #[must_use]
    pub const fn data_blocks(&self) -> u64 {
        self.data_bytes() / BLOCK
    }

    /// The block of the activity log, counted from its beginning, that the `number`th transaction is written to.
    #[must_use]
    pub const fn log_block_of(&self, number: u32) -> u32 {
        let turn = number % self.log_blocks();
        turn % self.log_stripes * self.log_stripe_blocks + turn / self.log_stripes
    }

    /// `md_size_sect` of the superblock.
    pub(crate) const fn metadata_sectors(&self) -> u64 {
        self.metadata_bytes() / SECTOR_BYTES
    }

    /// `al_offset` of the superblock: sectors from it, negative.
    pub(crate) const fn log_offset_sectors(&self) -> i64 {
        -((self.log_blocks() as u64 * SECTORS_PER_BLOCK) as i64)
    }

    /// `bm_offset` of the superblock: sectors from it, negative.
    pub(crate) const fn bitmap_offset_sectors(&self) -> i64 {
        -((self.metadata_sectors() - SECTORS_PER_BLOCK) as i64)
    }
}
