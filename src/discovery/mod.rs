//! Stage 2, the shell: asks the nodes and turns their answers into `facts`.
//!
//! In: a fleet, and the queries of the resources. Out: [`crate::facts::FleetFacts`]. Never writes anything on a
//! node, arms nothing, changes no state there (claims, rule 10), and never fails as a whole: a node that cannot
//! be asked and a probe that does not work are data.
//!
//! One round trip asks every base probe, one more asks every query: each is one shell script per node
//! (`script`) whose answers come back framed in one stream (`frames`). A probe is one file: the lines of
//! shell that ask, and a pure function that reads the answer.

mod base;
mod batch;
mod claim_ledger;
mod clock;
mod cluster;
mod collector;
mod drbd;
mod file;
mod frames;
mod hardware;
mod holders;
mod ledger;
mod links;
mod module;
mod os_release;
mod package;
mod package_manager;
mod probe;
mod report;
mod script;
mod seeded;
mod space;
mod storage;
mod sysctl;
mod uname;
mod unit;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod local;
#[cfg(test)]
mod properties;

pub use collector::{ask, base_now, discover, observe};
pub use file::FILE_TEXT_LIMIT_BYTES;
pub use holders::{HOLDERS, Holder, holders_command, holders_text, parse_holders};
pub use probe::{Answer, Probe, ProbeError};
pub use report::{
    CibFile, ClusterFindings, Configured, Findings, NodeReport, Pacemaker, Quorum, REPORT_FORMAT, Report,
    report_queries,
};
pub use storage::recorded_block_devices;
