//! The superblock: identity, generations, flags and the places of everything else.
//!
//! In: 4 KiB from the end of a device. Out: a [`Superblock`] whose places agree with the device's size, or what is wrong
//! with it. Bytes that have no meaning here are kept and written back. It carries no checksum.

use crate::fields::{Block, block, i32_at, put, u32_at, u64_at};
use crate::flags::{DeviceFlags, PeerFlags};
use crate::layout::{BLOCK_BYTES, Layout, LayoutError};

/// The current UUID of a device that has never had data.
pub const JUST_CREATED: u64 = 4;
/// `DRBD_MAGIC`.
pub(crate) const MAGIC: u32 = 0x8374_0267;
/// Of a v09 superblock.
pub(crate) const MAGIC_V09: u32 = MAGIC + 6;
/// Where every superblock since v07 has its magic.
pub(crate) const AT_MAGIC: usize = 60;
/// Nodes with an entry in the superblock, by node id.
const NODES: usize = 32;
/// Generations remembered.
const HISTORY: usize = 32;
/// Bytes per peer.
const PEER_BYTES: usize = 32;
/// Active extents that drbdmeta assumes of new metadata, until somebody says otherwise.
const DEFAULT_LOG_EXTENTS: u32 = 257;

mod at {
    pub(super) const EFFECTIVE_SECTORS: usize = 0;
    pub(super) const CURRENT_UUID: usize = 8;
    pub(super) const DEVICE_UUID: usize = 48;
    pub(super) const FLAGS: usize = 56;
    pub(super) const METADATA_SECTORS: usize = 64;
    pub(super) const LOG_OFFSET: usize = 68;
    pub(super) const LOG_EXTENTS: usize = 72;
    pub(super) const BITMAP_OFFSET: usize = 76;
    pub(super) const BYTES_PER_BIT: usize = 80;
    pub(super) const PEER_MAX_BIO_BYTES: usize = 84;
    pub(super) const PEERS: usize = 88;
    pub(super) const NODE_ID: usize = 92;
    pub(super) const LOG_STRIPES: usize = 96;
    pub(super) const LOG_STRIPE_BLOCKS: usize = 100;
    pub(super) const PEER_SLOTS: usize = 112;
    pub(super) const HISTORY: usize = PEER_SLOTS + super::NODES * super::PEER_BYTES;
    /// Nothing of DRBD's: it keeps, or clears, the end of the block.
    pub(super) const PRIMARY_SINCE: usize = super::BLOCK_BYTES - 8;

    pub(super) const PEER_BITMAP_UUID: usize = 0;
    pub(super) const PEER_BITMAP_DAGTAG: usize = 8;
    pub(super) const PEER_FLAGS: usize = 16;
    pub(super) const PEER_BITMAP_SLOT: usize = 20;
}

/// Why bytes are no superblock of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SuperblockError {
    /// Fewer than 4096 bytes.
    #[error("{0} bytes are too few for a superblock of {BLOCK_BYTES}")]
    Short(usize),
    /// There is none.
    #[error("there is no DRBD 9 metadata here (the magic is {0:#010x})")]
    Magic(u32),
    /// Its sizes are impossible.
    #[error("the metadata's sizes are impossible")]
    Layout(#[from] LayoutError),
    /// A place is not where it would be on this device, which was perhaps resized.
    #[error("{what} is {found}, but on a device of this size it would be {expected}")]
    Place {
        /// Which field.
        what: &'static str,
        /// What it says.
        found: i64,
        /// What it would have to say.
        expected: i64,
    },
    /// The bitmap's bits stand for something else than 4 KiB.
    #[error("a bit of the bitmap stands for {0} bytes; only {BLOCK_BYTES} are supported")]
    BytesPerBit(u32),
    /// A node id that cannot be.
    #[error("the node id {0} is not one of -1 to 31")]
    NodeId(i32),
    /// A peer's slot in the bitmap that is not there, or not its own.
    #[error("node {node} has slot {slot} of the bitmap, which does not exist or belongs to another node")]
    BitmapSlot {
        /// The node's id.
        node: u8,
        /// The slot.
        slot: i32,
    },
    /// More data than there is room for.
    #[error("{found} sectors of data were agreed on, but there is room for {room}")]
    EffectiveSize {
        /// Sectors.
        found: u64,
        /// Sectors.
        room: u64,
    },
}

/// What is remembered of one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeerSlot {
    /// The generation against which the peer's bits count.
    pub bitmap_uuid: u64,
    /// The point in the order of writes at which the bits began.
    pub bitmap_dagtag: u64,
    /// What was last known of the peer.
    pub flags: PeerFlags,
    /// Its slot in the bitmap.
    pub bitmap_slot: Option<u8>,
}

/// A superblock. Equal ones are those that would be written alike.
#[derive(Debug, Clone)]
pub struct Superblock {
    layout: Layout,
    /// Sectors of data that all nodes agreed on; 0 before that.
    pub effective_sectors: u64,
    /// The current generation.
    pub current_uuid: u64,
    /// The device's identity; 0 until it is first used.
    pub device_uuid: u64,
    /// What is remembered of the device.
    pub flags: DeviceFlags,
    /// Extents that may be active at a time.
    pub log_extents: u32,
    /// The largest request that the peers take at once, in bytes.
    pub peer_max_bio_bytes: u32,
    /// This node's id; `None` until the device is first used.
    pub node_id: Option<u8>,
    /// The other nodes, by node id.
    pub peers: [PeerSlot; NODES],
    /// Older generations, the youngest first.
    pub history_uuids: [u64; HISTORY],
    /// When the node became Primary last, in the engine's words; DRBD has no such field. 0: never, or not known.
    pub primary_since: u64,
    /// The block that this was read from, for what has no meaning here.
    raw: Box<Block>,
}

impl Superblock {
    /// That of a device without history, as `drbdmeta create-md` makes it.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            effective_sectors: 0,
            current_uuid: JUST_CREATED,
            device_uuid: 0,
            flags: DeviceFlags::LOG_CLEAN,
            log_extents: DEFAULT_LOG_EXTENTS,
            peer_max_bio_bytes: 0,
            node_id: None,
            peers: [PeerSlot::default(); NODES],
            history_uuids: [0; HISTORY],
            primary_since: 0,
            raw: Box::new([0; BLOCK_BYTES]),
        }
    }

    /// Reads the superblock of a device of `device_bytes`: the 4 KiB at [`Layout::superblock_at`]. More bytes may follow.
    ///
    /// # Errors
    /// When there is none, or it is not that of such a device.
    pub fn decode(bytes: &[u8], device_bytes: u64) -> Result<Self, SuperblockError> {
        let raw = block(bytes).ok_or(SuperblockError::Short(bytes.len()))?;
        let magic = u32_at(raw, AT_MAGIC);
        if magic != MAGIC_V09 {
            return Err(SuperblockError::Magic(magic));
        }
        let layout = Layout::with_log(
            device_bytes,
            u32_at(raw, at::PEERS),
            u32_at(raw, at::LOG_STRIPES),
            u32_at(raw, at::LOG_STRIPE_BLOCKS),
        )?;
        check_places(raw, &layout)?;
        let node_id = match i32_at(raw, at::NODE_ID) {
            -1 => None,
            id => Some(
                u8::try_from(id).ok().filter(|id| *id < NODES as u8).ok_or(SuperblockError::NodeId(id))?,
            ),
        };
        let effective_sectors = u64_at(raw, at::EFFECTIVE_SECTORS);
        let room = layout.data_bytes() / crate::layout::SECTOR_BYTES;
        if effective_sectors > room {
            return Err(SuperblockError::EffectiveSize { found: effective_sectors, room });
        }
        Ok(Self {
            layout,
            effective_sectors,
            current_uuid: u64_at(raw, at::CURRENT_UUID),
            device_uuid: u64_at(raw, at::DEVICE_UUID),
            flags: DeviceFlags::from_bits(u32_at(raw, at::FLAGS)),
            log_extents: u32_at(raw, at::LOG_EXTENTS),
            peer_max_bio_bytes: u32_at(raw, at::PEER_MAX_BIO_BYTES),
            node_id,
            peers: peers(raw, &layout)?,
            history_uuids: std::array::from_fn(|index| u64_at(raw, at::HISTORY + index * 8)),
            primary_since: u64_at(raw, at::PRIMARY_SINCE),
            raw: Box::new(*raw),
        })
    }

    /// The 4 KiB to be written at [`Layout::superblock_at`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut raw = self.raw.clone();
        let layout = &self.layout;
        let mut put32 = |at: usize, value: u32| put(&mut raw, at, &value.to_be_bytes());
        put32(at::FLAGS, self.flags.bits());
        put32(AT_MAGIC, MAGIC_V09);
        // At most 2^41 / 512 sectors of bitmap for 1 PiB and 31 peers; `as` keeps what the format has room for.
        put32(at::METADATA_SECTORS, layout.metadata_sectors() as u32);
        put32(at::LOG_OFFSET, layout.log_offset_sectors() as u32);
        put32(at::LOG_EXTENTS, self.log_extents);
        put32(at::BITMAP_OFFSET, layout.bitmap_offset_sectors() as u32);
        put32(at::BYTES_PER_BIT, BLOCK_BYTES as u32);
        put32(at::PEER_MAX_BIO_BYTES, self.peer_max_bio_bytes);
        put32(at::PEERS, u32::from(layout.peers()));
        put32(at::NODE_ID, self.node_id.map_or(u32::MAX, u32::from));
        put32(at::LOG_STRIPES, layout.log_stripes());
        put32(at::LOG_STRIPE_BLOCKS, layout.log_stripe_blocks());
        for (index, peer) in self.peers.iter().enumerate() {
            let base = at::PEER_SLOTS + index * PEER_BYTES;
            put32(base + at::PEER_FLAGS, peer.flags.bits());
            put32(base + at::PEER_BITMAP_SLOT, peer.bitmap_slot.map_or(u32::MAX, u32::from));
        }
        let mut put64 = |at: usize, value: u64| put(&mut raw, at, &value.to_be_bytes());
        put64(at::EFFECTIVE_SECTORS, self.effective_sectors);
        put64(at::CURRENT_UUID, self.current_uuid);
        put64(at::DEVICE_UUID, self.device_uuid);
        for (index, peer) in self.peers.iter().enumerate() {
            let base = at::PEER_SLOTS + index * PEER_BYTES;
            put64(base + at::PEER_BITMAP_UUID, peer.bitmap_uuid);
            put64(base + at::PEER_BITMAP_DAGTAG, peer.bitmap_dagtag);
        }
        for (index, uuid) in self.history_uuids.iter().enumerate() {
            put64(at::HISTORY + index * 8, *uuid);
        }
        put64(at::PRIMARY_SINCE, self.primary_since);
        raw.to_vec()
    }

    /// The same superblock for other places: those of a device that has grown.
    #[must_use]
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Where everything lies.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether the device has never had data.
    #[must_use]
    pub const fn is_just_created(&self) -> bool {
        self.current_uuid == JUST_CREATED
    }
}

impl PartialEq for Superblock {
    fn eq(&self, other: &Self) -> bool {
        self.layout == other.layout && self.encode() == other.encode()
    }
}

impl Eq for Superblock {}

/// The places in the superblock must be those that follow from the sizes.
fn check_places(raw: &Block, layout: &Layout) -> Result<(), SuperblockError> {
    let bytes_per_bit = u32_at(raw, at::BYTES_PER_BIT);
    if usize::try_from(bytes_per_bit) != Ok(BLOCK_BYTES) {
        return Err(SuperblockError::BytesPerBit(bytes_per_bit));
    }
    let places = [
        (
            "the offset of the activity log",
            i64::from(i32_at(raw, at::LOG_OFFSET)),
            layout.log_offset_sectors(),
        ),
        (
            "the offset of the bitmap",
            i64::from(i32_at(raw, at::BITMAP_OFFSET)),
            layout.bitmap_offset_sectors(),
        ),
        (
            "the size of the metadata",
            i64::from(u32_at(raw, at::METADATA_SECTORS)),
            i64::try_from(layout.metadata_sectors()).unwrap_or(i64::MAX),
        ),
    ];
    match places.into_iter().find(|(_, found, expected)| found != expected) {
        Some((what, found, expected)) => Err(SuperblockError::Place { what, found, expected }),
        None => Ok(()),
    }
}

fn peers(raw: &Block, layout: &Layout) -> Result<[PeerSlot; NODES], SuperblockError> {
    let mut peers = [PeerSlot::default(); NODES];
    let mut taken = [false; NODES];
    for (node, peer) in (0..).zip(peers.iter_mut()) {
        let base = at::PEER_SLOTS + usize::from(node) * PEER_BYTES;
        let slot = i32_at(raw, base + at::PEER_BITMAP_SLOT);
        if slot != -1 {
            let wrong = SuperblockError::BitmapSlot { node, slot };
            let slot = u8::try_from(slot).ok().filter(|slot| *slot < layout.peers()).ok_or(wrong)?;
            if std::mem::replace(&mut taken[usize::from(slot)], true) {
                return Err(wrong);
            }
            peer.bitmap_slot = Some(slot);
        }
        peer.bitmap_uuid = u64_at(raw, base + at::PEER_BITMAP_UUID);
        peer.bitmap_dagtag = u64_at(raw, base + at::PEER_BITMAP_DAGTAG);
        peer.flags = PeerFlags::from_bits(u32_at(raw, base + at::PEER_FLAGS));
    }
    Ok(peers)
}
