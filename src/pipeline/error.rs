//! Why a run could not go on, by what a person has to do about it.

use super::SelectorError;
use crate::apply::LockError;
use crate::barclamp::BarclampError;
use crate::inventory::LoadError;
use crate::names::NodeName;
use crate::plan::PlanError;
use crate::transport::TransportError;

/// A failure of a whole stage; what happened to single steps is in the outcome.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// `--on` cannot be used.
    #[error(transparent)]
    Selector(#[from] SelectorError),
    /// Barclamps or their attributes are wrong; nothing was contacted.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Barclamps(Vec<BarclampError>),
    /// The inventory is wrong; nothing was contacted.
    #[error("{0}")]
    Inventory(LoadError),
    /// Secrets that the inventory refers to cannot be had; nothing was contacted.
    #[error("{}", .0.join("\n"))]
    Secrets(Vec<String>),
    /// The log file cannot be written.
    #[error("the log {path} cannot be written: {source}")]
    Log {
        /// Which file.
        path: camino::Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nodes could not be reached or authenticated; nothing was changed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Nodes(Vec<TransportError>),
    /// The desired resources contradict each other.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The nodes are not what the saved plan was made for.
    #[error("the saved plan is stale: {0}; plan again and review what is different now")]
    Stale(String),
    /// The plan holds refusals; nothing was changed.
    #[error("{0} refusals stand in the way; nothing was changed")]
    Blocked(usize),
    /// Another run is at work.
    #[error(transparent)]
    Locked(LockError),
    /// The plan changes a node that did not answer, that the inventory lacks, or that does not say what hactl owns there.
    #[error("what hactl owns on {0} is not known; nothing was changed")]
    NoLedger(NodeName),
    /// The node's ledger of claims has none for this purpose.
    #[error("nothing is claimed for `{purpose}` on {node}{}", known_purposes(.purposes))]
    NoClaim {
        /// The node.
        node: NodeName,
        /// What was asked for.
        purpose: String,
        /// What its ledger has.
        purposes: Vec<String>,
    },
    /// The whole run took longer than it may.
    #[error("the run did not end within {0} s (--timeout)")]
    Timeout(u64),
}

fn known_purposes(purposes: &[String]) -> String {
    if purposes.is_empty() {
        String::new()
    } else {
        format!("; there are claims for {}", purposes.join(", "))
    }
}

impl From<LockError> for PipelineError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Transport(error) => Self::Nodes(vec![error]),
            other => Self::Locked(other),
        }
    }
}
