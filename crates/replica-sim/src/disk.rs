//! A simulated disk: a volatile cache over stable sectors, and metadata beside it.
//!
//! A crash loses any part of what was not flushed, sector by sector, and tears what was on its way. Content is one
//! number per sector; only the blocks that the workload uses are kept, the others read as zeroes.

use std::collections::BTreeMap;

use bytes::Bytes;
use replica::bitmap::Bitmap;
use replica::config::Config;
use replica::ids::{BLOCK_BYTES, NodeId, SECTOR_BYTES};
use replica::io::DiskOp;
use replica::metadata::{AlTransaction, Attached, Superblock};
use replica::wire::WriteBody;

use crate::rng::Rng;

/// Sectors of a block.
pub(crate) const SECTORS: usize = (BLOCK_BYTES / SECTOR_BYTES) as usize;
/// What a block holds: one number per sector.
pub(crate) type Block = [u64; SECTORS];

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
    size: u64,
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
    /// The activity log on stable storage: what each slot holds.
    pub(crate) log: BTreeMap<u16, u32>,
    log_number: u32,
    /// Every operation fails.
    pub(crate) broken: bool,
}

impl SimDisk {
    /// A disk full of zeroes.
    #[must_use]
    pub(crate) fn new(config: &Config, hot: &[u64], superblock: Superblock) -> Self {
        Self {
            size: config.size,
            hot: hot.to_vec(),
            visible: vec![[0; SECTORS]; hot.len()],
            stable: vec![[0; SECTORS]; hot.len()],
            cache: Vec::new(),
            sequence: 0,
            superblock,
            bitmaps: config.diskful_peers().map(|peer| (peer, Bitmap::new(config.size))).collect(),
            log: BTreeMap::new(),
            log_number: 0,
            broken: false,
        }
    }

    /// What attaching reads.
    #[must_use]
    pub(crate) fn metadata(&self) -> Attached {
        Attached {
            superblock: self.superblock.clone(),
            bitmaps: self.bitmaps.clone(),
            active_extents: self.log.values().copied().collect(),
            al_number: self.log_number,
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
            metadata => self.write_metadata(metadata),
        }
        None
    }

    fn write_metadata(&mut self, op: &DiskOp) {
        match op {
            DiskOp::Superblock(superblock) => self.superblock = (**superblock).clone(),
            DiskOp::BitmapPage { peer, page, bits } => self.write_page(*peer, *page, bits),
            DiskOp::ResetActivityLog { number } => {
                self.log.clear();
                self.log_number = *number;
            }
            DiskOp::ActivityLog(transaction) => self.write_log(transaction),
            DiskOp::Read { .. } | DiskOp::Write { .. } | DiskOp::Flush => {}
        }
    }

    fn write_page(&mut self, peer: NodeId, page: u32, bits: &[u8]) {
        let Some(bitmap) = self.bitmaps.get_mut(&peer) else { return };
        let first = u64::from(page) * replica::bitmap::PAGE_BITS;
        bitmap.clear(replica::ids::BlockRange { start: first, end: first + replica::bitmap::PAGE_BITS });
        bitmap.merge_page(page, bits);
    }

    fn write_log(&mut self, transaction: &AlTransaction) {
        for (slot, extent) in &transaction.updates {
            self.log.insert(*slot, *extent);
        }
        for (position, extent) in transaction.context.iter().enumerate() {
            let slot = transaction.context_start + position as u16;
            match extent {
                Some(extent) => self.log.insert(slot, *extent),
                None => self.log.remove(&slot),
            };
        }
        self.log_number = transaction.number;
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
                // A sector of the superblock is written whole or not at all; a torn record has a wrong checksum.
                DiskOp::Superblock(_) | DiskOp::ResetActivityLog { .. } | DiskOp::ActivityLog(_) => {
                    if rng.chance(50) {
                        self.write_metadata(op);
                    }
                }
                DiskOp::Read { .. } | DiskOp::Flush => {}
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
        assert!(offset + body.bytes() <= self.size, "the engine writes only within the volume");
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
