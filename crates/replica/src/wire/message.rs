//! The messages, one variant each, with their codes; and on which of the two channels each travels.

use bytes::{Bytes, BytesMut};

use super::field::{Field, WireError};
use crate::config::Protocol;
use crate::generation::{Generation, Generations};
use crate::handshake::Report;
use crate::ids::{BlockRange, NodeId};
use crate::state::{DiskState, Role};

/// The version of the messages. Both sides must have the same.
pub const WIRE_VERSION: u8 = 4;
/// Bytes of the length before data.
pub(super) const DATA_LENGTH_BYTES: usize = 4;
/// Bytes of a write's number and offset, of the kind of its body, and of the length of its data.
const BEFORE_WRITE_DATA: usize = 8 + 8 + 1 + DATA_LENGTH_BYTES;
/// Bytes of the request's number, of the kind of its body, and of the length of its data.
const BEFORE_SYNC_DATA: usize = 8 + 1 + DATA_LENGTH_BYTES;
/// The code of data as the body of a write.
const DATA_BODY: u8 = 0;
/// The code of [`Message::Write`].
const WRITE_KIND: u8 = 6;
/// The code of [`Message::SyncData`].
const SYNC_DATA_KIND: u8 = 15;
/// Most ranges in one [`Message::InSync`].
pub const MAX_INSYNC_RANGES: usize = 4096;

/// The two streams of a connection. Order is kept within one, not between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Data and everything whose order matters to it.
    Data,
    /// Acknowledgements and pings, which must not queue behind data.
    Control,
}

/// What a write does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteBody {
    /// These bytes.
    Data(Bytes),
    /// Zeroes. `may_trim`: the blocks may be given back to a thin disk, as long as they read as zeroes.
    Zeroes {
        /// How many bytes.
        len: u64,
        /// May be given back.
        may_trim: bool,
    },
}

impl WriteBody {
    /// How many bytes it writes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Zeroes { len, .. } => *len,
        }
    }
}

impl Field for WriteBody {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Data(data) => {
                DATA_BODY.put(out);
                data.put(out);
            }
            Self::Zeroes { len, may_trim } => {
                1u8.put(out);
                len.put(out);
                may_trim.put(out);
            }
        }
    }
    fn get(from: &mut Bytes) -> Result<Self, WireError> {
        match u8::get(from)? {
            DATA_BODY => Ok(Self::Data(Bytes::get(from)?)),
            1 => Ok(Self::Zeroes { len: u64::get(from)?, may_trim: bool::get(from)? }),
            _ => Err(WireError::Value("kind of write")),
        }
    }
}

/// Why a peer does not let another become Primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The peer itself, or one it is connected to, is Primary.
    PeerIsPrimary = 0,
    /// Another promotion goes on.
    PromotionInProgress = 1,
    /// The peer knows a newer generation of the data.
    Outdated = 2,
    /// The peer's handshake is not over.
    Handshake = 3,
}

impl Field for Refusal {
    fn put(&self, out: &mut BytesMut) {
        (*self as u8).put(out);
    }
    fn get(from: &mut Bytes) -> Result<Self, WireError> {
        Ok(match u8::get(from)? {
            0 => Self::PeerIsPrimary,
            1 => Self::PromotionInProgress,
            2 => Self::Outdated,
            3 => Self::Handshake,
            _ => return Err(WireError::Value("refusal")),
        })
    }
}

impl Field for Protocol {
    fn put(&self, out: &mut BytesMut) {
        (*self as u8).put(out);
    }
    fn get(from: &mut Bytes) -> Result<Self, WireError> {
        match u8::get(from)? {
            0 => Ok(Self::A),
            1 => Ok(Self::B),
            2 => Ok(Self::C),
            _ => Err(WireError::Value("protocol")),
        }
    }
}

/// Defines a struct that travels field by field.
macro_rules! travels {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type),+ }
        impl Field for $name {
            fn put(&self, out: &mut BytesMut) {
                $(self.$field.put(out);)+
            }
            fn get(from: &mut Bytes) -> Result<Self, WireError> {
                Ok(Self { $($field: Field::get(from)?),+ })
            }
        }
    };
}

travels! {
    /// The first word of each side: what must be the same on both.
    Hello {
        /// Who speaks.
        node: NodeId,
        /// Whom it means to speak to.
        to: NodeId,
        /// Bytes of the volume.
        size: u64,
        /// Replication protocol.
        protocol: Protocol,
        /// It has no disk by intent.
        diskless: bool,
        /// Two of the nodes may be Primary.
        two_primaries: bool,
    }
}

travels! {
    /// What a node says of itself, at the handshake and whenever it changes.
    PeerReport {
        /// Its role.
        role: Role,
        /// Its disk.
        disk: DiskState,
        /// Its generations; a diskless Primary's current one is that of the data it works with.
        generations: Generations,
        /// It was Primary when it crashed.
        crashed_primary: bool,
        /// Dirty blocks for the one spoken to.
        dirty_blocks: u64,
        /// A full synchronisation is owed.
        full_sync: bool,
        /// Its data may be discarded.
        discard_my_data: bool,
        /// When it became Primary last.
        primary_since: u64,
        /// It has quorum.
        quorum: bool,
        /// Names this attachment of its disk: with another one, what was not flushed may be gone. 0 without a disk.
        disk_instance: u64,
    }
}

impl PeerReport {
    /// As input for the decision.
    #[must_use]
    pub fn report(&self, node: NodeId) -> Report {
        Report {
            node,
            role: self.role,
            disk: self.disk,
            generations: self.generations.clone(),
            crashed_primary: self.crashed_primary,
            dirty_blocks: self.dirty_blocks,
            full_sync: self.full_sync,
            discard_my_data: self.discard_my_data,
            primary_since: self.primary_since,
        }
    }
}

travels! {
    /// A write of the Primary.
    WireWrite {
        /// Numbered by the Primary, rising.
        id: u64,
        /// Bytes from the start of the volume.
        offset: u64,
        /// What.
        body: WriteBody,
    }
}

impl Message {
    /// The same without its data, and the data, where the last field is so many bytes of data or more.
    pub(super) fn without_large_data(&self, bytes: usize) -> Option<(Self, Bytes)> {
        let none = WriteBody::Data(Bytes::new());
        let (rest, body) = match self {
            Self::Write { write } => (
                Self::Write { write: WireWrite { id: write.id, offset: write.offset, body: none } },
                &write.body,
            ),
            Self::SyncData { id, body } => (Self::SyncData { id: *id, body: none }, body),
            _ => return None,
        };
        match body {
            WriteBody::Data(data) if data.len() >= bytes => Some((rest, data.clone())),
            _ => None,
        }
    }

    /// How many bytes of fields come before the data, where a message of this kind ends with the data of a write.
    pub(super) fn bytes_before_data(kind: u8) -> Option<usize> {
        match kind {
            WRITE_KIND => Some(BEFORE_WRITE_DATA),
            SYNC_DATA_KIND => Some(BEFORE_SYNC_DATA),
            _ => None,
        }
    }

    /// Such a message without its data, out of the fields before it. None: what follows is not so many bytes of data.
    pub(super) fn before_data(kind: u8, fields: &[u8], bytes: usize) -> Result<Option<Self>, WireError> {
        let (rest, length) = fields.split_at(fields.len().saturating_sub(DATA_LENGTH_BYTES));
        let is_data = rest.last() == Some(&DATA_BODY);
        if !is_data || u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes() != length {
            return Ok(None);
        }
        let mut fields = BytesMut::from(rest);
        0u32.put(&mut fields);
        Self::get_fields(kind, &mut fields.freeze()).map(Some)
    }

    /// The same with this data, where it has any.
    pub(super) fn with_data(mut self, data: Bytes) -> Self {
        if let Self::Write { write: WireWrite { body, .. } } | Self::SyncData { body, .. } = &mut self {
            *body = WriteBody::Data(data);
        }
        self
    }
}

/// Lists of ranges are bounded by [`MAX_INSYNC_RANGES`].
impl Field for Vec<BlockRange> {
    fn put(&self, out: &mut BytesMut) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).put(out);
        for range in self {
            range.put(out);
        }
    }
    fn get(from: &mut Bytes) -> Result<Self, WireError> {
        let len = u32::get(from)? as usize;
        if len > MAX_INSYNC_RANGES {
            return Err(WireError::Value("number of ranges"));
        }
        (0..len).map(|_| BlockRange::get(from)).collect()
    }
}

macro_rules! messages {
    ($($(#[$doc:meta])* $code:literal $channel:ident $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty),* $(,)? }),+ $(,)?) => {
        /// What one replica says to another.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Message { $($(#[$doc])* $name { $($(#[$fdoc])* $field: $type),* }),+ }

        impl Message {
            /// Which channel it travels on.
            #[must_use]
            pub fn channel(&self) -> Channel {
                match self { $(Self::$name { .. } => Channel::$channel),+ }
            }

            /// Its code in the frame.
            #[must_use]
            pub fn kind(&self) -> u8 {
                match self { $(Self::$name { .. } => $code),+ }
            }

            /// Its name, for the log.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name { .. } => stringify!($name)),+ }
            }

            /// Appends its fields.
            pub(super) fn put_fields(&self, out: &mut BytesMut) {
                match self { $(Self::$name { $($field),* } => { $($field.put(out);)* let _ = &out; }),+ }
            }

            /// Takes the fields of a message of this kind.
            pub(super) fn get_fields(kind: u8, from: &mut Bytes) -> Result<Self, WireError> {
                match kind {
                    $($code => Ok(Self::$name { $($field: Field::get(from)?),* }),)+
                    other => Err(WireError::Kind(other)),
                }
            }
        }
    };
}

messages! {
    /// The first word.
    1 Data Hello {
        /// What.
        hello: Hello,
    },
    /// Begins the handshake of two disks: both send one, then both decide.
    2 Data Generations {
        /// What.
        report: Box<PeerReport>,
    },
    /// A change of role, disk or generations outside a handshake.
    3 Data State {
        /// What.
        report: Box<PeerReport>,
    },
    /// The source has prepared; the target's disk counts from `base` when it is copied whole.
    4 Data SyncBegin {
        /// The generation to take, when all blocks are to come.
        base: Option<Generation>,
    },
    /// One page of the sender's bitmap that has dirty blocks; the last one says so.
    5 Data BitmapPage {
        /// Which page.
        page: u32,
        /// Its bits; empty when there is none.
        bits: Bytes,
        /// No more follow.
        last: bool,
    },
    /// A write of the Primary.
    6 Data Write {
        /// What.
        write: WireWrite,
    },
    /// All writes before this one belong to the epoch or an earlier one: answer when they are on stable storage.
    7 Data Barrier {
        /// Which.
        epoch: u64,
    },
    /// A write has arrived (protocol B).
    8 Control Received {
        /// Which.
        id: u64,
    },
    /// A write is written.
    9 Control Written {
        /// Which.
        id: u64,
    },
    /// A write failed; the sender's disk is gone.
    10 Control WriteFailed {
        /// Which.
        id: u64,
    },
    /// All writes of the epoch are on stable storage.
    11 Control BarrierDone {
        /// Which.
        epoch: u64,
    },
    /// A read for a Primary that has no good disk.
    12 Data Read {
        /// Numbered by the sender.
        id: u64,
        /// From where.
        offset: u64,
        /// How much.
        len: u64,
    },
    /// The bytes, or nothing when they cannot be read.
    13 Data ReadDone {
        /// Which.
        id: u64,
        /// The bytes.
        data: Option<Bytes>,
    },
    /// The target asks for blocks; with a checksum of what it has, when it wants to be spared equal ones.
    14 Data SyncRequest {
        /// Numbered by the target.
        id: u64,
        /// Which.
        blocks: BlockRange,
        /// XXH3-128 of the target's bytes.
        checksum: Option<u128>,
    },
    /// The blocks asked for.
    15 Data SyncData {
        /// Which request.
        id: u64,
        /// What.
        body: WriteBody,
    },
    /// The target has the same bytes already.
    16 Data SyncEqual {
        /// Which request.
        id: u64,
    },
    /// The source cannot read the blocks.
    17 Data SyncFailed {
        /// Which request.
        id: u64,
    },
    /// These blocks of the target are on stable storage and equal the source's.
    18 Data InSync {
        /// Which.
        ranges: Vec<BlockRange>,
    },
    /// The target has every block.
    19 Data SyncFinished {},
    /// The source agrees: these are the generations of what the target holds.
    20 Data SyncCommit {
        /// What.
        generations: Generations,
    },
    /// The target has recorded it, its data still counting as Inconsistent.
    21 Data SyncCommitted {},
    /// The source has recorded that the target has everything: its data is UpToDate now.
    36 Data SyncDone {},
    /// A new generation began at the sender; record it before anything else, and say so.
    22 Data NewGeneration {
        /// What the sender has now.
        generations: Generations,
    },
    /// It is recorded.
    23 Data NewGenerationDone {
        /// Which.
        current: Generation,
    },
    /// The sender of the order lost its disk: begin this generation, with the sender as the absent one.
    24 Data BeginGeneration {
        /// Which.
        current: Generation,
    },
    /// May the sender become Primary?
    25 Data PromotePrepare {
        /// Numbered by the sender.
        id: u64,
        /// What its data is.
        current: Generation,
        /// Beside which Primary; none: there is none that it knows of.
        beside: Option<NodeId>,
    },
    /// It may, or why not.
    26 Data PromoteAnswer {
        /// Which.
        id: u64,
        /// Why not.
        refused: Option<Refusal>,
    },
    /// The sender does not become Primary after all.
    27 Data PromoteAbort {
        /// Which.
        id: u64,
    },
    /// What the sender knows of a third node: that node goes on with `generations`.
    28 Data Witness {
        /// Of whom.
        node: NodeId,
        /// What.
        generations: Generations,
    },
    /// The sender closes the connection in good order.
    29 Data Goodbye {
        /// It has recorded that its data is outdated from now on.
        outdated: bool,
    },
    /// Are you there?
    30 Control Ping {},
    /// Yes.
    31 Control Pong {},
    /// The sender verifies: what is the checksum of these blocks there?
    32 Data VerifyRequest {
        /// Numbered by the sender.
        id: u64,
        /// Which.
        blocks: BlockRange,
    },
    /// The checksum, or nothing when they cannot be read.
    33 Data VerifyAnswer {
        /// Which.
        id: u64,
        /// XXH3-128.
        checksum: Option<u128>,
    },
    /// These blocks differ; mark them.
    34 Data OutOfSync {
        /// Which.
        ranges: Vec<BlockRange>,
    },
    /// The volume is to become larger: how much is there room for?
    37 Data ResizeRoom {
        /// Numbered by the sender.
        id: u64,
    },
    /// That much, in bytes; nothing when something else goes on.
    38 Data ResizeRoomAnswer {
        /// Which.
        id: u64,
        /// How much.
        room: Option<u64>,
    },
    /// The volume has this size from now on: record it, and say so.
    39 Data ResizeCommit {
        /// Which.
        id: u64,
        /// Bytes of the volume.
        size: u64,
        /// What is new counts as equal.
        clean: bool,
    },
    /// It is recorded.
    40 Data ResizeDone {
        /// Which.
        id: u64,
    },
    /// The sender, a Primary, sends no more writes for now, and goes on without the receiver: record that the data there
    /// is outdated. Overtakes the writes sent before, which are still to be written.
    41 Control PullAhead {
        /// Numbered by the sender.
        id: u64,
    },
    /// It is recorded.
    42 Control Behind {
        /// Which.
        id: u64,
    },
    /// A write is written, by the one of two Primaries that decides their order: what it sent before this came before that
    /// write, what it sends after comes after it.
    43 Data WrittenInOrder {
        /// Which.
        id: u64,
    },
    /// The sender breaks the tie, and another node has gone on already: what was announced must not begin.
    44 Data NewGenerationRefused {
        /// Which.
        current: Generation,
    },
    /// Both fresh disks are declared equal, as this generation.
    35 Data SkipInitialSync {
        /// Which.
        current: Generation,
    },
}
