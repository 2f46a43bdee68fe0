//! The engine's metadata on a device: DRBD 9's internal metadata, read into the core's words and written from them.
//!
//! In: a [`Store`], and the core's metadata operations. Out: what attaching needs ([`Attached`]), and the writes that an
//! operation comes to. `docs/on-disk-format.md` has the format; where things lie is `drbd-meta`'s.

use std::collections::{BTreeMap, BTreeSet};

use drbd_meta::{
    ActivityLog, BLOCK_BYTES, Bitmap, DeviceFlags, Layout, PeerFlags, Superblock, Transaction, Write,
    encode_update, replay,
};
use replica::generation::{Generation, Generations};
use replica::ids::{BlockRange, SECTOR_BYTES};
use replica::io::DiskOp;
use replica::metadata::{self, AlTransaction, Attached};
use replica::{Config, NodeId};

use super::last_known::RecordError;
use super::store::{Store, StoreError};

/// Why metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The device.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No room for metadata.
    #[error("the device cannot hold metadata")]
    Layout(#[from] drbd_meta::LayoutError),
    /// No valid superblock.
    #[error("no usable metadata; make it with create-md")]
    Superblock(#[from] drbd_meta::SuperblockError),
    /// A bitmap that does not fit into memory.
    #[error("the bitmap cannot be used")]
    Bitmap(#[from] drbd_meta::BitmapError),
    /// What is known of the device from before.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It is that of another node.
    #[error("the metadata is that of node {found}, but this is {expected}")]
    Node {
        /// In the superblock.
        found: u8,
        /// In the configuration.
        expected: NodeId,
    },
    /// There is already some.
    #[error(
        "there is metadata already (generation {current:016X}); to replace it, and lose what it knows, force it"
    )]
    Exists {
        /// Its current generation.
        current: u64,
    },
    /// More peers than it has slots for.
    #[error("the metadata has slots for {slots} peers, and none is left for {peer}")]
    NoSlot {
        /// Slots.
        slots: u8,
        /// Whom there is no room for.
        peer: NodeId,
    },
    /// The volume is larger than the room for data.
    #[error("a volume of {size} bytes does not fit: the device has room for {room}")]
    TooSmall {
        /// What is wanted.
        size: u64,
        /// What there is.
        room: u64,
    },
    /// The activity log is too small.
    #[error("{wanted} active extents are more than the {most} that the activity log on the device can hold")]
    AlExtents {
        /// Configured.
        wanted: u16,
        /// Possible.
        most: u16,
    },
}

/// Makes new metadata for so many peers.
///
/// # Errors
/// When there is some already and `force` does not say to replace it, or the device cannot hold it.
pub fn create(store: &Store, peers: u8, force: bool) -> Result<Layout, MetadataError> {
    let layout = Layout::internal(store.bytes(), peers)?;
    let raw = store.read(layout.superblock_at(), BLOCK_BYTES)?;
    if let Ok(found) = Superblock::decode(&raw, store.bytes())
        && !force
    {
        return Err(MetadataError::Exists { current: found.current_uuid });
    }
    let new = drbd_meta::create(&layout);
    for write in &new.body {
        put(store, write)?;
    }
    store.sync()?;
    put(store, &new.superblock)?;
    store.sync()?;
    Ok(layout)
}

fn put(store: &Store, write: &Write) -> Result<(), StoreError> {
    /// Zeroes written at a time, in bytes.
    const PIECE: u64 = 1 << 20;
    match write {
        Write::Data { offset, bytes } => store.write(*offset, bytes),
        Write::Zeroes { offset, length } => {
            let mut at = 0;
            while at < *length {
                let piece = (length - at).min(PIECE);
                // At most PIECE.
                store.write(offset + at, &vec![0; usize::try_from(piece).unwrap_or(0)])?;
                at += piece;
            }
            Ok(())
        }
    }
}

/// Reads only the superblock.
///
/// # Errors
/// When there is none.
pub fn superblock(store: &Store) -> Result<Superblock, MetadataError> {
    // Where the superblock lies does not depend on the number of peers.
    let at = Layout::internal(store.bytes(), 1)?.superblock_at();
    Ok(Superblock::decode(&store.read(at, BLOCK_BYTES)?, store.bytes())?)
}

/// The volume's size as the metadata has it: what the nodes agreed on, or all there is.
#[must_use]
pub fn volume_bytes(superblock: &Superblock) -> u64 {
    match superblock.effective_sectors {
        0 => superblock.layout().data_bytes(),
        sectors => sectors * SECTOR_BYTES,
    }
}

/// The metadata as it lies on the device, in memory: what the next write of a part of it begins from.
#[derive(Debug)]
pub struct Image {
    superblock: Superblock,
    bitmap: Bitmap,
    al_slots: u16,
}

impl Image {
    /// Reads all of it.
    ///
    /// # Errors
    /// When it is not there, not whole, or not that of this volume.
    pub fn read(store: &Store, config: &Config) -> Result<(Self, Attached), MetadataError> {
        Self::of(superblock(store)?, store, config)
    }

    /// Reads what belongs to a superblock that was found.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn of(
        mut superblock: Superblock,
        store: &Store,
        config: &Config,
    ) -> Result<(Self, Attached), MetadataError> {
        let layout = *superblock.layout();
        if let Some(found) = superblock.node_id.filter(|found| *found != config.node.get()) {
            return Err(MetadataError::Node { found, expected: config.node });
        }
        if config.size > layout.data_bytes() {
            return Err(MetadataError::TooSmall { size: config.size, room: layout.data_bytes() });
        }
        let most = ActivityLog::most_slots(&layout);
        if config.al_extents > most {
            return Err(MetadataError::AlExtents { wanted: config.al_extents, most });
        }
        assign_slots(&mut superblock, config)?;
        // The layout was made for this device; what does not fit into memory cannot be read either.
        let bytes = usize::try_from(layout.bitmap_bytes())
            .map_err(|_| drbd_meta::BitmapError::TooLarge(layout.bitmap_bytes()))?;
        let bitmap = Bitmap::from_bytes(&layout, store.read(layout.bitmap_at(), bytes)?)?;
        let log = store.read(layout.log_at(), layout.log_bytes() as usize)?;
        let image = Self { superblock, bitmap, al_slots: config.al_extents };
        let attached = Attached {
            superblock: image.core_superblock(config),
            bitmaps: config
                .diskful_peers()
                .map(|peer| (peer, image.core_bitmap(peer, config.size)))
                .collect(),
            active_extents: image.active_extents(&log),
            al_number: newest_transaction(&log),
        };
        Ok((image, attached))
    }

    /// The extents that may differ. Where the log speaks and cannot be understood, that is all of them.
    fn active_extents(&self, log: &[u8]) -> BTreeSet<u32> {
        let layout = self.superblock.layout();
        if self.superblock.flags.contains(DeviceFlags::LOG_CLEAN) {
            return BTreeSet::new();
        }
        replay(layout, log).unwrap_or_else(|_| {
            let extents = layout.data_bytes().div_ceil(drbd_meta::EXTENT_BYTES);
            (0..u32::try_from(extents).unwrap_or(u32::MAX)).collect()
        })
    }

    /// How large a device the metadata was made for: it is at the end of so many bytes.
    #[must_use]
    pub fn device_bytes(&self) -> u64 {
        self.superblock.layout().device_bytes()
    }

    /// Moves the metadata to the end of a device that has grown, and says how much room there is for data. It lies in both
    /// places until the superblock at the end is written: whatever interrupts this, what is found is whole. The old superblock
    /// goes then, so that nobody takes it for the device's. A device that has grown by less than its metadata takes is left
    /// as it is.
    ///
    /// # Errors
    /// When it cannot be written; everything is as it was.
    pub fn make_room(&mut self, store: &Store) -> Result<u64, MetadataError> {
        let device = store.look_at_size()?;
        let old = *self.superblock.layout();
        let new =
            Layout::with_log(device, u32::from(old.peers()), old.log_stripes(), old.log_stripe_blocks())?;
        if new.bitmap_at() < old.superblock_at() + BLOCK_BYTES as u64 {
            return Ok(old.data_bytes());
        }
        let mut bitmap = Bitmap::new(&new)?;
        for slot in 0..old.peers() {
            for range in self.bitmap.dirty(slot) {
                bitmap.set(slot, range);
            }
        }
        let mut superblock = self.superblock.clone().with_layout(new);
        superblock.effective_sectors = volume_bytes(&self.superblock) / SECTOR_BYTES;
        let log = store.read(old.log_at(), old.log_bytes() as usize)?;
        store.write(new.bitmap_at(), bitmap.as_bytes())?;
        store.write(new.log_at(), &log)?;
        store.sync()?;
        store.write(new.superblock_at(), &superblock.encode())?;
        store.sync()?;
        store.write(old.superblock_at(), &[0; BLOCK_BYTES])?;
        store.sync()?;
        // All of it is written.
        drop(bitmap.take_writes());
        (self.superblock, self.bitmap) = (superblock, bitmap);
        Ok(new.data_bytes())
    }

    fn core_superblock(&self, config: &Config) -> metadata::Superblock {
        let from = &self.superblock;
        let peers = || config.diskful_peers().map(|peer| (peer, from.peers[usize::from(peer.get())]));
        let bitmap = peers()
            .map(|(peer, slot)| (peer, Generation(slot.bitmap_uuid)))
            .filter(|(_, generation)| generation.is_some())
            .collect();
        let history = from.history_uuids.iter().map(|uuid| Generation(*uuid)).filter(|uuid| uuid.is_some());
        metadata::Superblock {
            node: config.node,
            size: volume_bytes(from).min(config.size),
            generations: Generations {
                current: Generation(from.current_uuid),
                bitmap,
                history: history.collect(),
            },
            consistent: from.flags.contains(DeviceFlags::CONSISTENT),
            was_up_to_date: from.flags.contains(DeviceFlags::WAS_UP_TO_DATE),
            primary: from.flags.contains(DeviceFlags::PRIMARY_IND),
            crashed_primary: from.flags.contains(DeviceFlags::CRASHED_PRIMARY),
            al_clean: from.flags.contains(DeviceFlags::LOG_CLEAN),
            primary_since: from.primary_since,
            peers: peers()
                .map(|(peer, slot)| {
                    let full_sync = slot.flags.contains(PeerFlags::FULL_SYNC);
                    let outdated = slot.flags.contains(PeerFlags::OUTDATED);
                    (peer, metadata::PeerFlags { full_sync, outdated })
                })
                .collect(),
        }
    }

    fn core_bitmap(&self, peer: NodeId, size: u64) -> replica::bitmap::Bitmap {
        let mut bitmap = replica::bitmap::Bitmap::new(size);
        if let Some(slot) = self.slot(peer) {
            for range in self.bitmap.dirty(slot) {
                bitmap.set(BlockRange { start: range.start, end: range.end });
            }
        }
        bitmap
    }

    fn slot(&self, peer: NodeId) -> Option<u8> {
        self.superblock.peers[usize::from(peer.get())].bitmap_slot
    }

    /// Takes in one operation, and adds what it is on the device. Writes of bitmap pages come with
    /// [`Self::bitmap_writes`], once for all operations of a group.
    pub fn apply(&mut self, op: &DiskOp, writes: &mut Vec<Write>) {
        let layout = *self.superblock.layout();
        match op {
            DiskOp::Superblock(superblock) => {
                self.take_superblock(superblock);
                writes.push(Write::Data { offset: layout.superblock_at(), bytes: self.superblock.encode() });
            }
            DiskOp::BitmapPage { peer, page, bits } => {
                if let Some(slot) = self.slot(*peer) {
                    self.bitmap.replace(slot, u64::from(*page) * replica::bitmap::PAGE_BITS, bits);
                }
            }
            DiskOp::ResetActivityLog { .. } => {
                let empty = Transaction::initialised().repeat(layout.log_blocks() as usize);
                writes.push(Write::Data { offset: layout.log_at(), bytes: empty });
            }
            DiskOp::ActivityLog(transaction) => writes.push(self.log_write(transaction)),
            DiskOp::Read { .. } | DiskOp::Write { .. } | DiskOp::Flush | DiskOp::MakeRoom => {}
        }
    }

    /// The pages of the bitmap that operations since the last call have changed.
    pub fn bitmap_writes(&mut self) -> Vec<Write> {
        self.bitmap.take_writes()
    }

    fn log_write(&self, transaction: &AlTransaction) -> Write {
        let layout = self.superblock.layout();
        let block = u64::from(layout.log_block_of(transaction.number));
        let updates: Vec<(u16, Option<u32>)> =
            transaction.updates.iter().map(|(slot, extent)| (*slot, Some(*extent))).collect();
        let bytes = encode_update(
            transaction.number,
            transaction.slots,
            transaction.context_start,
            &transaction.context,
            &updates,
        );
        Write::Data { offset: layout.log_at() + block * BLOCK_BYTES as u64, bytes }
    }

    fn take_superblock(&mut self, from: &metadata::Superblock) {
        let to = &mut self.superblock;
        to.effective_sectors = from.size / SECTOR_BYTES;
        to.current_uuid = from.generations.current.0;
        to.node_id = Some(from.node.get());
        to.log_extents = u32::from(self.al_slots);
        to.primary_since = from.primary_since;
        let flags = [
            (DeviceFlags::CONSISTENT, from.consistent),
            (DeviceFlags::WAS_UP_TO_DATE, from.was_up_to_date),
            (DeviceFlags::PRIMARY_IND, from.primary),
            (DeviceFlags::CRASHED_PRIMARY, from.crashed_primary),
            (DeviceFlags::LOG_CLEAN, from.al_clean),
        ];
        for (flag, set) in flags {
            to.flags = if set { to.flags.with(flag) } else { to.flags.without(flag) };
        }
        for (uuid, place) in from
            .generations
            .history
            .iter()
            .map(|generation| generation.0)
            .chain(std::iter::repeat(0))
            .zip(&mut to.history_uuids)
        {
            *place = uuid;
        }
        for (peer, flags) in &from.peers {
            let place = &mut to.peers[usize::from(peer.get())];
            place.bitmap_uuid = from.generations.slot(*peer).0;
            for (flag, set) in
                [(PeerFlags::FULL_SYNC, flags.full_sync), (PeerFlags::OUTDATED, flags.outdated)]
            {
                place.flags = if set { place.flags.with(flag) } else { place.flags.without(flag) };
            }
        }
    }
}

/// Every peer with a disk gets a slot of the bitmap.
fn assign_slots(superblock: &mut Superblock, config: &Config) -> Result<(), MetadataError> {
    let slots = superblock.layout().peers();
    let mut taken: BTreeMap<u8, usize> = superblock
        .peers
        .iter()
        .enumerate()
        .filter_map(|(node, peer)| peer.bitmap_slot.map(|slot| (slot, node)))
        .collect();
    for peer in config.diskful_peers() {
        let node = usize::from(peer.get());
        let entry = &mut superblock.peers[node];
        if entry.bitmap_slot.is_none() {
            let free = (0..slots).find(|slot| !taken.contains_key(slot));
            let slot = free.ok_or(MetadataError::NoSlot { slots, peer })?;
            taken.insert(slot, node);
            entry.bitmap_slot = Some(slot);
        }
        entry.flags = entry.flags.with(PeerFlags::HAVE_BITMAP | PeerFlags::NODE_EXISTS);
    }
    Ok(())
}

/// The number of the newest whole transaction.
fn newest_transaction(log: &[u8]) -> u32 {
    let numbers = log.chunks_exact(BLOCK_BYTES).filter_map(|block| match Transaction::decode(block) {
        Ok(Transaction::Update { number, .. }) => Some(number),
        _ => None,
    });
    // Numbers wrap; those in one ring are never far from each other.
    numbers.reduce(|a, b| if b.wrapping_sub(a).cast_signed() > 0 { b } else { a }).unwrap_or(0)
}
