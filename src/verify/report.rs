//! The result of a verification.

use serde::Serialize;

use crate::names::{ClusterName, NodeName};

/// Version of the report's format.
pub const REPORT_FORMAT: u32 = 1;

/// What was asserted and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// Every check.
    pub results: Vec<CheckResult>,
}

impl VerifyReport {
    /// Whether everything holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.results.iter().all(|result| result.problem.is_none())
    }
}

/// One check and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// Which cluster.
    pub cluster: ClusterName,
    /// Its name: `barclamp/check`, or `convergence`.
    pub check: String,
    /// What it asserts, in a line.
    pub summary: String,
    /// On which node, where it is one.
    pub node: Option<NodeName>,
    /// What is not as it should be; absent when all is well.
    pub problem: Option<String>,
}
