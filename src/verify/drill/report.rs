//! What came of a drill.

use serde::Serialize;

use crate::names::{ClusterName, NodeName};
use crate::verify::VerifyReport;

/// Version of the report's format.
pub const DRILL_FORMAT: u32 = 1;

/// The result of a failover drill. All times are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrillReport {
    /// [`DRILL_FORMAT`].
    pub format: u32,
    /// `failover`.
    pub drill: &'static str,
    /// Which cluster.
    pub cluster: ClusterName,
    /// The group that was drilled.
    pub group: String,
    /// The node whose power was cut.
    pub victim: NodeName,
    /// The node that asked the cluster's fencing for it.
    pub asked: NodeName,
    /// Where the group runs since; absent when it does not.
    pub survivor: Option<NodeName>,
    /// From the request until fencing reported the node dead.
    pub fenced_after_ms: Option<u64>,
    /// From the request until the node was back, online and clean.
    pub back_after_ms: Option<u64>,
    /// What was written; absent without a file system.
    pub writes: Option<WriteReport>,
    /// What was asked through the address; absent when no check asks there.
    pub requests: Option<RequestReport>,
    /// What replication had to copy back, as far as the engine tells.
    pub resynced_bytes: Option<u64>,
    /// The verification after it.
    pub after: VerifyReport,
    /// What is not as it should be, apart from that.
    pub problems: Vec<String>,
}

/// Records that were written meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WriteReport {
    /// Where.
    pub directory: String,
    /// Records that were told to be on stable storage.
    pub acknowledged: usize,
    /// Those of them that are not there afterwards.
    pub lost: usize,
    /// From the last record of the lost node to the first one of another.
    pub outage_ms: Option<u64>,
}

/// Requests that were sent meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestReport {
    /// What was asked.
    pub asked: String,
    /// How many were sent.
    pub sent: usize,
    /// Those of them that were not answered as they should be.
    pub failed: usize,
    /// From the last answer to the first one afterwards.
    pub outage_ms: Option<u64>,
}

impl DrillReport {
    /// Whether the cluster survived it: nothing that was acknowledged is lost, and everything is as before.
    #[must_use]
    pub fn survived(&self) -> bool {
        let written =
            self.writes.as_ref().is_none_or(|writes| writes.lost == 0 && writes.outage_ms.is_some());
        let asked = self.requests.as_ref().is_none_or(|requests| requests.outage_ms.is_some());
        self.problems.is_empty() && self.survivor.is_some() && written && asked && self.after.holds()
    }
}
