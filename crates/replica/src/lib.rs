//! The replication engine's core: DRBD's semantics, vocabulary and metadata, without I/O, clock or randomness.
//!
//! A [`Replica`] is one volume on one node. Whoever drives it passes in what happened ([`Input`]), with the present
//! time, and does what comes out ([`Output`]); [`Replica::poll_timeout`] says when to come back at the latest. With the
//! same inputs it does the same things, so a simulator can replay every run from a seed.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`state`], [`ids`], [`time`], [`config`] | the words: states, nodes, blocks, instants, settings |
//! | [`io`] | the contract: inputs, outputs, disk operations, orders, events |
//! | [`wire`] | messages between nodes, and their frames |
//! | [`generation`], [`handshake`], [`split_brain`] | which data is newer, who becomes source, who loses |
//! | [`bitmap`], [`activity_log`], [`metadata`] | what may differ, in memory and on disk |
//! | [`buffer`] | aligned memory, so that data is copied once between the wire and the disk |
//! | [`locks`] | writes that overlap stay in order |
//! | [`quorum`], [`promotion`] | who may go on, who may become Primary |
//! | `engine` | the state machine over all of these |
//!
//! What holds it together:
//! - **A peer's slot is empty exactly while that peer may be current.** Whoever loses such a peer begins a new
//!   generation before it answers anything the peer lacks; so two nodes that went on apart always notice.
//! - **Every block that may differ is spoken for**: by a bit, by an epoch that is not stable, or, after a crash, by the
//!   activity log.
//! - **A bit is cleared only when both sides have the block on stable storage.**
//! - **Between the two reports of a handshake nothing changes that they speak of.**
//! - **Who breaks a tie knows first**: a generation begins on disk once every connected diskless node has taken note of it,
//!   and does not begin when quorum is lost over that.
//! - **Knowledge votes, not presence**: a node without its disk does not help to win quorum, only to keep it; and a disk
//!   that is given up while others go on says of itself that it is outdated.
//! - **Who is left behind knows it**: a Primary that goes Ahead of a peer lets no write in before the peer has recorded
//!   that its data is outdated, and a new generation has begun.
//! - **A flush fails once for writes that went with a peer's cache**, when there was no other place where they were.
//!
//! - **Two Primaries agree on the order of writes that overlap**: the one with the lower id decides it, and the other puts
//!   what came first beneath what came later; so both disks end up the same (`allow-two-primaries`).
//!
//! Not here yet, and refused rather than pretended: more than two nodes with disks.
//!
//! What no replica can know: when its disk fails so completely that not even a last word can be written on it, others go
//! on without it, it loses its power, and then the same disk works again and nobody else is there. Such a disk has to be
//! invalidated, or replaced, before it is attached.
//!
//! A node that is diskless by intent breaks ties and cannot become Primary.

pub mod activity_log;
pub mod bitmap;
pub mod buffer;
pub mod config;
mod engine;
pub mod generation;
pub mod handshake;
pub mod ids;
pub mod io;
pub mod locks;
pub mod metadata;
pub mod promotion;
pub mod quorum;
pub mod split_brain;
pub mod state;
pub mod time;
pub mod wire;

pub use config::Config;
pub use engine::{PeerStatus, Replica, Suspension};
pub use ids::{NodeId, OpId, RequestId};
pub use io::{
    Admin, AdminError, ClientError, ClientRequest, DiskError, DiskOp, Event, Handler, Input, Output,
};
pub use time::Time;
