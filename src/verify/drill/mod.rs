//! The failover drill: a node's power is cut by the cluster's own fencing while somebody writes and asks.
//!
//! In: what the cluster says of itself, and what was acknowledged and answered when. Out: which node's loss is
//! tried ([`Target`]) or why none's may be ([`Refusal`]), and a [`DrillReport`]. Everything here is pure: who talks
//! to the nodes is `pipeline::drill`.

mod quorum;
mod records;
mod refusal;
mod report;
mod requests;
mod resync;
mod target;

pub use quorum::keeps_quorum;
pub use records::{Acknowledged, FILE_PREFIX, PAUSE, Records, WRITER, Writes, count_lost};
pub use refusal::Refusal;
pub use report::{DRILL_FORMAT, DrillReport, RequestReport, WriteReport};
pub use requests::{Request, outage};
pub use resync::{RESYNC_LOG, resynced_bytes};
pub use target::{Mount, Target, choose, fenced};
