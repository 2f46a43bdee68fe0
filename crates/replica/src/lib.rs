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
//!
//! Not here yet, and refused rather than pretended: more than two nodes with disks, two Primaries, Ahead/Behind,
//! `on-io-error pass-on`, resizing.
//!
//! Known to be wrong: with quorum, a Primary that begins a generation and loses the tiebreaker before that one takes note
//! answers nothing in it, yet when the other node goes on with the tiebreaker the two call it split brain, and the admin
//! has to say whose data counts (simulator seed 2934). And what a node without its disk learns of its peer is not
//! recorded anywhere: when both lose their power then, and it comes back alone with its old disk, only a tiebreaker that
//! stayed up surely keeps it from being promoted. And when a Primary works over a peer's disk only, and that peer
//! loses its power and comes back, unflushed writes that were answered may be gone without the next flush failing for it.
//!
//! A node that is diskless by intent breaks ties and cannot become Primary.

pub mod activity_log;
pub mod bitmap;
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
pub use engine::{PeerStatus, Replica};
pub use ids::{NodeId, OpId, RequestId};
pub use io::{
    Admin, AdminError, ClientError, ClientRequest, DiskError, DiskOp, Event, Handler, Input, Output,
};
pub use time::Time;
