//! What goes into the engine and what comes out of it: the whole contract with the shell.
//!
//! The shell answers every [`DiskOp`] exactly once with [`Input::DiskDone`], in any order. A completed metadata operation
//! is on stable storage; a completed data write need not be until a [`DiskOp::Flush`] issued after its completion is
//! done. When a disk is given up, one more superblock may be written to it; whatever comes of that, the disk is free once
//! [`Event::Disk`] says Diskless. Messages of one channel arrive in the order they were sent; after [`Input::PeerDown`]
//! none of the old connection arrives any more.

use bytes::Bytes;
use thiserror::Error;

use crate::generation::Generation;
use crate::ids::{NodeId, OpId, RequestId};
use crate::metadata::{AlTransaction, Attached, ShrinkError, Superblock};
use crate::promotion::PromotionError;
use crate::state::{ConnectionState, DiskState, ReplicationState, Role};
use crate::wire::{Message, WriteBody};

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Both channels to a peer are there.
    PeerUp(NodeId),
    /// The connection to a peer is gone.
    PeerDown(NodeId),
    /// A peer said something.
    Message {
        /// Who.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// A disk operation ended. `Some` bytes for a read and for [`DiskOp::MakeRoom`].
    DiskDone {
        /// Which.
        op: OpId,
        /// How.
        result: Result<Option<Bytes>, DiskError>,
    },
    /// A client wants something.
    Client {
        /// Its number.
        id: RequestId,
        /// What.
        request: ClientRequest,
    },
    /// The admin wants something.
    Admin {
        /// Its number.
        id: RequestId,
        /// What.
        command: Admin,
    },
    /// A handler ended.
    HandlerDone {
        /// Which.
        handler: Handler,
        /// Its exit code.
        exit_code: i32,
    },
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Send this to a peer, on the message's channel.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Do this on the disk.
    Disk {
        /// Its number.
        op: OpId,
        /// What.
        request: DiskOp,
    },
    /// Answer a client.
    Reply {
        /// Which request.
        id: RequestId,
        /// The bytes of a read, nothing else, or why not.
        result: Result<Option<Bytes>, ClientError>,
    },
    /// Answer the admin.
    AdminReply {
        /// Which command.
        id: RequestId,
        /// Done, or why not.
        result: Result<(), AdminError>,
    },
    /// Connect to this peer, and keep trying.
    Connect(NodeId),
    /// Close the connection to this peer once what was sent is on its way; connect again only when told to, if it says
    /// StandAlone, else keep trying. The shell answers with [`Input::PeerDown`].
    Disconnect {
        /// Whom.
        peer: NodeId,
        /// Why: StandAlone, Timeout, ProtocolError …
        reason: ConnectionState,
    },
    /// Run a handler and report its exit code.
    Handler(Handler),
    /// Something worth telling.
    Event(Event),
}

/// A disk operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskOp {
    /// Read data.
    Read {
        /// Bytes from the start of the volume.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// Write data.
    Write {
        /// Bytes from the start of the volume.
        offset: u64,
        /// What.
        body: WriteBody,
    },
    /// Bring all data written so far to stable storage.
    Flush,
    /// Replace the superblock. Never two at a time.
    Superblock(Box<Superblock>),
    /// Replace a page of a peer's bitmap.
    BitmapPage {
        /// Whose.
        peer: NodeId,
        /// Which.
        page: u32,
        /// Its bits.
        bits: Bytes,
    },
    /// Empty the activity log: it names no extent any more. The next transaction's number is one above this.
    ResetActivityLog {
        /// The number of the last transaction.
        number: u32,
    },
    /// Append a transaction to the activity log. Never two at a time.
    ActivityLog(AlTransaction),
    /// The device may have grown: move the metadata to its end, as it is, so that what lies between becomes room for data.
    /// The answer is the room for data in bytes, as eight bytes, the highest first. One that fails leaves all as it was.
    MakeRoom,
}

/// A disk operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the disk reported an error")]
pub struct DiskError;

/// A client's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientRequest {
    /// Read.
    Read {
        /// Bytes from the start of the volume.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// Write data or zeroes; a trim is zeroes that may be given back.
    Write {
        /// Bytes from the start of the volume.
        offset: u64,
        /// What.
        body: WriteBody,
        /// Done only once it is on stable storage, here and on every UpToDate peer.
        fua: bool,
    },
    /// Done once everything that was answered before it came is on stable storage, here and on every UpToDate peer.
    Flush,
}

/// Why a client's request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClientError {
    /// The node is not Primary.
    #[error("the volume is not Primary here")]
    NotPrimary,
    /// Beyond the end, not in sectors, or too large.
    #[error("the request is outside the volume, not in sectors of 512 bytes, or too large")]
    Invalid,
    /// No disk could do it.
    #[error("no disk could carry the request out")]
    Io,
    /// The partition has no quorum.
    #[error("no quorum")]
    NoQuorum,
}

/// What an admin can order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admin {
    /// Use this disk, whose metadata was read.
    Attach(Box<Attached>),
    /// Give up the disk.
    Detach,
    /// Connect to a peer; the data here may be thrown away for it.
    Connect {
        /// Whom.
        peer: NodeId,
        /// After split brain, throw away the data here.
        discard_my_data: bool,
    },
    /// Disconnect from a peer in good order.
    Disconnect {
        /// Whom.
        peer: NodeId,
    },
    /// Become Primary.
    Promote {
        /// Without good data, quorum or fencing if need be.
        force: bool,
        /// The time of day, for after-split-brain policies; any unit, the same on all nodes.
        wall_clock: u64,
    },
    /// Become Secondary.
    Demote {
        /// Failing requests that are suspended.
        force: bool,
    },
    /// A client opened the volume for writing.
    Opened {
        /// Its name, for people.
        holder: String,
    },
    /// It closed it.
    Closed {
        /// Its name.
        holder: String,
    },
    /// Stop I/O.
    SuspendIo,
    /// Let I/O go on, after [`Self::SuspendIo`] or a fencing that failed.
    ResumeIo,
    /// Throw the data here away, and take all of the peer's (`invalidate`).
    Invalidate {
        /// Whose data comes.
        peer: NodeId,
    },
    /// Throw the peer's data away, and send it all of ours (`invalidate-remote`).
    InvalidateRemote {
        /// Whose data goes.
        peer: NodeId,
    },
    /// The data here is outdated from now on (`outdate`): what a fence-peer handler orders on the other node.
    Outdate,
    /// Declare two blank disks equal (`new-current-uuid --clear-bitmap`).
    SkipInitialSync,
    /// Compare with a peer and mark what differs.
    Verify {
        /// Whom.
        peer: NodeId,
    },
    /// Make the volume larger, here and on all peers, after their devices have grown (`resize`).
    Resize {
        /// Bytes of the volume; none: as many as all disks have room for.
        size: Option<u64>,
        /// What is new counts as equal, and is not copied.
        assume_clean: bool,
    },
}

/// Why an order was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AdminError {
    /// It cannot become Primary.
    #[error("cannot become Primary: {0}")]
    Promotion(#[from] PromotionError),
    /// Somebody has it open.
    #[error("cannot become Secondary: the volume is held open by {0}")]
    HeldOpen(String),
    /// I/O waits, and would have to fail.
    #[error("cannot become Secondary: I/O is suspended; resume it, or force, failing what waits")]
    Suspended,
    /// Another change goes on.
    #[error("another change of state goes on; try again")]
    Busy,
    /// The disk does not belong here.
    #[error("the disk's metadata is of {0}, or of another size; attach the right one")]
    WrongDisk(NodeId),
    /// The disk's data has gone on without the data that the users of this Primary see, which is a peer's.
    #[error(
        "the disk holds other data than that of {0}, which this Primary works with; demote it first, or invalidate"
    )]
    OtherData(NodeId),
    /// No such peer.
    #[error("there is no peer {0}")]
    NoPeer(NodeId),
    /// It has to be there for this.
    #[error("{0} has to be connected and in sync")]
    NotInSync(NodeId),
    /// Its device is too small.
    #[error(
        "the disk of {node} has room for a volume of {room} bytes, not of {wanted}; enlarge its device first"
    )]
    TooSmall {
        /// Whose.
        node: NodeId,
        /// Bytes that it has room for.
        room: u64,
        /// Bytes that were wanted.
        wanted: u64,
    },
    /// It would become smaller.
    #[error(transparent)]
    Shrink(#[from] ShrinkError),
    /// Not in this state.
    #[error("not possible now: {0}")]
    State(&'static str),
}

/// Scripts that the admin supplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Handler {
    /// Make sure that the peer cannot go on: 3 inconsistent, 4 outdated, 5 unreachable, 6 is Primary, 7 stonithed.
    FencePeer(NodeId),
    /// The peer is in sync again: take back what [`Self::FencePeer`] did.
    UnfencePeer(NodeId),
    /// Data here is about to be replaced by the peer's; anything but 0 prevents it.
    BeforeResyncTarget(NodeId),
    /// It has been.
    AfterResyncTarget(NodeId),
    /// Split brain, and nothing was thrown away.
    SplitBrain(NodeId),
    /// Split brain, this Primary lost and must give up.
    PriLostAfterSb(NodeId),
    /// The own disk failed.
    LocalIoError,
}

/// Something worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The role changed.
    Role(Role),
    /// The own disk changed.
    Disk(DiskState),
    /// A connection changed.
    Connection(NodeId, ConnectionState),
    /// The replication to a peer changed.
    Replication(NodeId, ReplicationState),
    /// Quorum was won or lost.
    Quorum(bool),
    /// A new generation began.
    Generation(Generation),
    /// Split brain with a peer; nothing was thrown away.
    SplitBrain(NodeId),
    /// The peer's data has nothing to do with ours.
    UnrelatedData(NodeId),
    /// Two disks cannot be joined: the better one is not whole, or a Primary's data would have to go.
    CannotJoin(NodeId),
    /// A peer said something it must not.
    ProtocolError(NodeId, &'static str),
    /// The fence-peer handler could not fence.
    FencingFailed(NodeId, i32),
    /// The volume has become larger: so many bytes.
    Resized(u64),
    /// Online verification ended; so many blocks differ.
    VerifyDone(NodeId, u64),
}
