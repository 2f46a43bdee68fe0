//! Metadata as the core sees it: what is on stable storage beside the data. How it is laid out is the shell's matter.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::bitmap::Bitmap;
use crate::config::Config;
use crate::generation::Generations;
use crate::ids::NodeId;

/// What is recorded about one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerFlags {
    /// A full synchronisation is owed: the bitmap counts as all dirty.
    pub full_sync: bool,
    /// The peer is known to be outdated or fenced.
    pub outdated: bool,
}

/// The superblock. It is written whole; a write of it either happens or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Whose it is.
    pub node: NodeId,
    /// Bytes of the volume.
    pub size: u64,
    /// Generation identifiers.
    pub generations: Generations,
    /// The data is a whole image of some moment (MDF_CONSISTENT).
    pub consistent: bool,
    /// The data was the newest when last known (MDF_WAS_UP_TO_DATE).
    pub was_up_to_date: bool,
    /// The node is Primary (MDF_PRIMARY_IND); found set on attaching, it crashed as one.
    pub primary: bool,
    /// It crashed as Primary, and no synchronisation has mended that yet (MDF_CRASHED_PRIMARY).
    pub crashed_primary: bool,
    /// The activity log speaks for nothing (MDF_AL_CLEAN).
    pub al_clean: bool,
    /// When it became Primary last, in the words of the shell's clock; zero: never.
    pub primary_since: u64,
    /// Per peer with a disk.
    pub peers: BTreeMap<NodeId, PeerFlags>,
}

impl Superblock {
    /// That of a volume just created: Inconsistent until the admin says whose data counts.
    #[must_use]
    pub fn just_created(config: &Config) -> Self {
        Self {
            node: config.node,
            size: config.size,
            generations: Generations::just_created(),
            consistent: false,
            was_up_to_date: false,
            primary: false,
            crashed_primary: false,
            al_clean: true,
            primary_since: 0,
            peers: config.diskful_peers().map(|peer| (peer, PeerFlags::default())).collect(),
        }
    }
}

/// One transaction of the activity log, as DRBD lays it out: slots that change, and a part of those that do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlTransaction {
    /// Rising by one; its place in the ring follows from it.
    pub number: u32,
    /// Slots that change, with the extent they hold from now on.
    pub updates: Vec<(u16, u32)>,
    /// Number of slots.
    pub slots: u16,
    /// The first slot of the context.
    pub context_start: u16,
    /// What the slots from there on hold.
    pub context: Vec<Option<u32>>,
}

/// What was read from a disk's metadata when it was attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The superblock.
    pub superblock: Superblock,
    /// One bitmap per peer with a disk; one that is missing counts as clean.
    pub bitmaps: BTreeMap<NodeId, Bitmap>,
    /// The extents that the activity log names.
    pub active_extents: BTreeSet<u32>,
    /// The number of the newest transaction in it.
    pub al_number: u32,
}

/// A volume cannot become smaller than it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a volume of {from} bytes cannot become one of {to}; it can only grow")]
pub struct ShrinkError {
    /// Bytes that it has.
    pub from: u64,
    /// Bytes that it was to have.
    pub to: u64,
}

impl Attached {
    /// Makes it the metadata of a larger volume. What is new counts as different on both nodes, so that it is made equal
    /// when they connect. The volume is down meanwhile; the caller moves the metadata to its new place, and writes all of
    /// this there, before it is attached with the new size in the configuration, on every node with a disk.
    ///
    /// # Errors
    /// It would become smaller.
    pub fn grow(&mut self, size: u64) -> Result<(), ShrinkError> {
        let from = self.superblock.size;
        if size < from {
            return Err(ShrinkError { from, to: size });
        }
        for peer in self.superblock.peers.keys() {
            self.bitmaps.entry(*peer).or_insert_with(|| Bitmap::new(from)).grow(size);
        }
        self.superblock.size = size;
        Ok(())
    }
}
