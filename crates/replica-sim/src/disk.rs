//! A simulated disk: a volatile cache over stable sectors, and metadata beside it.
//!
//! A crash loses any part of what was not flushed, sector by sector, and tears what was on its way, sector by sector
//! too: pages of the bitmap, the superblock (its first sector and that of the history), and records of the activity log,
//! which take the older record in their place with them. Content is one number per sector; only the blocks that the
//! workload uses are kept, the others read as zeroes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use replica::bitmap::Bitmap;
use replica::config::Config;
use replica::ids::{BLOCK_BYTES, BlockRange, NodeId, SECTOR_BYTES};
use replica::io::DiskOp;
use replica::metadata::{AlTransaction, Attached, Superblock};
use replica::wire::WriteBody;

use crate::rng::Rng;

/// Sectors of a block.
pub(crate) const SECTORS: usize = (BLOCK_BYTES / SECTOR_BYTES) as usize;
/// What a block holds: one number per sector.
pub(crate) type Block = [u64; SECTORS];

/// Places in the ring of the activity log: DRBD's default, one stripe of 32 KiB.
const LOG_BLOCKS: usize = 8;

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Data can be neither read nor written; the metadata can.
    Data,
    /// Nothing can.
    All,
}

#[derive(Debug, Clone)]
struct Unflushed {
    sequence: u64,
    index: usize,
    sector: usize,
    value: u64,
}

/// One node's disk.
#[derive(Debug, Clone)]
pub(crate) struct SimDisk {
    /// Bytes of data that its device has room for.
    pub(crate) device: u64,
    /// Bytes before the metadata: it moves when it is told to.
    room: u64,
    /// The blocks that are kept, rising.
    hot: Vec<u64>,
    /// What a read returns.
    pub(crate) visible: Vec<Block>,
    /// What a crash would leave at least.
    pub(crate) stable: Vec<Block>,
    cache: Vec<Unflushed>,
    sequence: u64,
    /// The superblock on stable storage.
    pub(crate) superblock: Superblock,
    /// The bitmaps on stable storage.
    pub(crate) bitmaps: BTreeMap<NodeId, Bitmap>,
    /// The activity log on stable storage; a torn record is none.
    log: [Option<AlTransaction>; LOG_BLOCKS],
    /// The number that the log was emptied with.
    log_base: u32,
    /// What is wrong with it.
    pub(crate) fault: Fault,
}

impl SimDisk {
    /// A disk full of zeroes.
    #[must_use]
    pub(crate) fn new(config: &Config, hot: &[u64], superblock: Superblock) -> Self {
        Self {
            device: config.size,
            room: config.size,
            hot: hot.to_vec(),
            visible: vec![[0; SECTORS]; hot.len()],
            stable: vec![[0; SECTORS]; hot.len()],
            cache: Vec::new(),
            sequence: 0,
            superblock,
            bitmaps: config.diskful_peers().map(|peer| (peer, Bitmap::new(config.size))).collect(),
            log: [const { None }; LOG_BLOCKS],
            log_base: 0,
            fault: Fault::None,
        }
    }

    /// Its metadata was made on a device of this size: at its end.
    pub(crate) fn is_made_for(&mut self, device: u64) {
        self.device = device;
        self.make_room();
    }

    /// What attaching reads.
    #[must_use]
    pub(crate) fn metadata(&self) -> Attached {
        Attached {
            superblock: self.superblock.clone(),
            bitmaps: self.bitmaps.iter().map(|(peer, bitmap)| (*peer, self.within_volume(bitmap))).collect(),
            active_extents: self.active_extents(),
            al_number: self.newest_record(),
        }
    }

    /// A bitmap as far as the volume goes: what it says of the room after that counts for nothing.
    fn within_volume(&self, bitmap: &Bitmap) -> Bitmap {
        let mut within = Bitmap::new(self.superblock.size);
        (0..within.pages()).for_each(|page| within.merge_page(page, &bitmap.page(page)));
        within
    }

    /// The metadata moves to the end of the device.
    fn make_room(&mut self) -> Bytes {
        for bitmap in self.bitmaps.values_mut() {
            bitmap.grow(self.device);
            bitmap.clear(BlockRange { start: self.room / BLOCK_BYTES, end: self.device / BLOCK_BYTES });
        }
        self.room = self.device;
        Bytes::copy_from_slice(&self.room.to_be_bytes())
    }

    fn newest_record(&self) -> u32 {
        self.log
            .iter()
            .flatten()
            .map(|record| record.number)
            .max()
            .unwrap_or(self.log_base)
            .max(self.log_base)
    }

    /// The extents that the log names: all records without a gap before the newest, in order.
    pub(crate) fn active_extents(&self) -> BTreeSet<u32> {
        let mut records: Vec<&AlTransaction> = self.log.iter().flatten().collect();
        records.sort_by_key(|record| record.number);
        let newest = self.newest_record();
        let mut slots = BTreeMap::new();
        let mut expected = None;
        let run: Vec<&AlTransaction> = records
            .into_iter()
            .rev()
            .take_while(|record| {
                let follows = expected.is_none_or(|expected| record.number == expected);
                expected = Some(record.number.wrapping_sub(1));
                follows && record.number <= newest
            })
            .collect();
        for record in run.into_iter().rev() {
            for (position, extent) in record.context.iter().enumerate() {
                match extent {
                    Some(extent) => slots.insert(record.context_start + position as u16, *extent),
                    None => slots.remove(&(record.context_start + position as u16)),
                };
            }
            slots.extend(record.updates.iter().copied());
        }
        slots.into_values().collect()
    }

    /// Whether the operation fails.
    pub(crate) fn fails(&self, op: &DiskOp) -> bool {
        let data = matches!(op, DiskOp::Read { .. } | DiskOp::Write { .. } | DiskOp::Flush);
        match self.fault {
            Fault::None => false,
            Fault::Data => data,
            Fault::All => true,
        }
    }

    /// The point in the order of writes that a flush issued now covers.
    #[must_use]
    pub(crate) fn flush_point(&self) -> u64 {
        self.sequence
    }

    /// Carries an operation out. The bytes of a read.
    pub(crate) fn complete(&mut self, op: &DiskOp, flush_point: u64) -> Option<Bytes> {
        match op {
            DiskOp::Read { offset, len } => return Some(self.read(*offset, *len)),
            DiskOp::Write { offset, body } => {
                for (index, sector, value) in self.sectors(*offset, body) {
                    self.sequence += 1;
                    self.visible[index][sector] = value;
                    self.cache.push(Unflushed { sequence: self.sequence, index, sector, value });
                }
            }
            DiskOp::Flush => {
                let (stable, cache) = (&mut self.stable, &mut self.cache);
                cache.retain(|write| {
                    if write.sequence <= flush_point {
                        stable[write.index][write.sector] = write.value;
                    }
                    write.sequence > flush_point
                });
            }
            DiskOp::MakeRoom => return Some(self.make_room()),
            metadata => self.write_metadata(metadata),
        }
        None
    }

    fn write_metadata(&mut self, op: &DiskOp) {
        match op {
            DiskOp::Superblock(superblock) => self.superblock = (**superblock).clone(),
            DiskOp::BitmapPage { peer, page, bits } => self.write_page(*peer, *page, bits),
            DiskOp::ResetActivityLog { number } => {
                self.log = [const { None }; LOG_BLOCKS];
                self.log_base = *number;
            }
            DiskOp::ActivityLog(record) => {
                self.log[record.number as usize % LOG_BLOCKS] = Some(record.clone())
            }
            DiskOp::Read { .. } | DiskOp::Write { .. } | DiskOp::Flush | DiskOp::MakeRoom => {}
        }
    }

    fn write_page(&mut self, peer: NodeId, page: u32, bits: &[u8]) {
        let Some(bitmap) = self.bitmaps.get_mut(&peer) else { return };
        let first = u64::from(page) * replica::bitmap::PAGE_BITS;
        bitmap.clear(BlockRange { start: first, end: first + replica::bitmap::PAGE_BITS });
        bitmap.merge_page(page, bits);
    }

    /// The power fails, with these operations on their way.
    pub(crate) fn crash(&mut self, on_their_way: &[DiskOp], rng: &mut Rng) {
        let mut survivors: BTreeMap<(usize, usize), Vec<u64>> = BTreeMap::new();
        for write in std::mem::take(&mut self.cache) {
            survivors.entry((write.index, write.sector)).or_default().push(write.value);
        }
        for op in on_their_way {
            match op {
                DiskOp::Write { offset, body } => {
                    for (index, sector, value) in self.sectors(*offset, body) {
                        survivors.entry((index, sector)).or_default().push(value);
                    }
                }
                DiskOp::BitmapPage { peer, page, bits } => {
                    let old = self.bitmaps.get(peer).map(|bitmap| bitmap.page(*page)).unwrap_or_default();
                    let mut torn = old.to_vec();
                    for (new, torn) in bits.chunks(512).zip(torn.chunks_mut(512)) {
                        if rng.chance(50) {
                            torn.copy_from_slice(new);
                        }
                    }
                    self.write_page(*peer, *page, &torn);
                }
                // All that decides is in the first sector; the history is in one further on.
                DiskOp::Superblock(superblock) => {
                    let (first, history) = (rng.chance(50), rng.chance(50));
                    let old = std::mem::take(&mut self.superblock.generations.history);
                    if first {
                        self.superblock = (**superblock).clone();
                    }
                    let new = &superblock.generations.history;
                    self.superblock.generations.history = if history { new.clone() } else { old };
                }
                // A torn record has a wrong checksum, and the one that was in its place is gone.
                DiskOp::ActivityLog(record) => {
                    let place = &mut self.log[record.number as usize % LOG_BLOCKS];
                    match rng.below(3) {
                        0 => *place = Some(record.clone()),
                        1 => *place = None,
                        _ => {}
                    }
                }
                DiskOp::ResetActivityLog { number } => {
                    self.log_base = *number;
                    for place in &mut self.log {
                        if rng.chance(50) {
                            *place = None;
                        }
                    }
                }
                DiskOp::Read { .. } | DiskOp::Flush | DiskOp::MakeRoom => {}
            }
        }
        for ((index, sector), mut values) in survivors {
            values.push(self.stable[index][sector]);
            self.stable[index][sector] = values[rng.index(values.len())];
        }
        self.visible.clone_from(&self.stable);
    }

    fn read(&self, offset: u64, len: u64) -> Bytes {
        let mut bytes = vec![0u8; usize::try_from(len).unwrap_or(0)];
        let first = offset / SECTOR_BYTES;
        for position in 0..len / SECTOR_BYTES {
            let sector = first + position;
            if let Ok(index) = self.hot.binary_search(&(sector / SECTORS as u64)) {
                let value = self.visible[index][(sector % SECTORS as u64) as usize];
                let at = (position * SECTOR_BYTES) as usize;
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        Bytes::from(bytes)
    }

    fn sectors(&self, offset: u64, body: &WriteBody) -> Vec<(usize, usize, u64)> {
        assert!(offset + body.bytes() <= self.room, "the engine writes only data before its metadata");
        let first = offset / SECTOR_BYTES;
        let mut all = Vec::new();
        for position in 0..body.bytes() / SECTOR_BYTES {
            let sector = first + position;
            let Ok(index) = self.hot.binary_search(&(sector / SECTORS as u64)) else { continue };
            let value = match body {
                WriteBody::Data(data) => value_at(data, (position * SECTOR_BYTES) as usize),
                WriteBody::Zeroes { .. } => 0,
            };
            all.push((index, (sector % SECTORS as u64) as usize, value));
        }
        all
    }
}

/// The number that a sector holds.
#[must_use]
pub(crate) fn value_at(data: &[u8], at: usize) -> u64 {
    data.get(at..at + 8).and_then(|raw| raw.try_into().ok()).map_or(0, u64::from_le_bytes)
}
