//! Stage 7: proves that the cluster does what the inventory says.
//!
//! In: what the barclamps assert, and what is seen. Out: a [`VerifyReport`]. Changes nothing.

pub mod drill;
mod judge;
mod reach;
mod report;
mod status;

pub use judge::{judge, queries};
pub use reach::{Asker, Reached, reach};
pub use report::{CheckResult, REPORT_FORMAT, VerifyReport};
pub use status::{
    ClusterReport, FencingEvent, FencingReport, LinkReport, NodeReport, NodeState, QuorumReport,
    ResourceReport, STATUS_FORMAT, StatusReport, VolumeReport, status, status_queries,
};
