//! Why a drill has no result.

use crate::names::NodeName;
use crate::pipeline::PipelineError;
use crate::transport::TransportError;
use crate::verify::VerifyReport;
use crate::verify::drill::Refusal;

/// A drill that was not begun or not finished.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The cluster is not as it should be already: nothing was cut.
    #[error("the cluster is not as it should be before the drill")]
    Unclean(VerifyReport),
    /// Something speaks against it: nothing was cut.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Before anything was cut, what is to be measured did not work.
    #[error("nothing was cut, because what is to be measured does not work: {0}")]
    NotMeasurable(String),
    /// A stage of the pipeline failed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A survivor could not be asked any more.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// It was interrupted.
    #[error("interrupted {}", match .cut {
        Some(node) => format!("after {node}'s power was cut: the cluster recovers by itself, see `hactl status`"),
        None => "before any power was cut".to_owned(),
    })]
    Interrupted {
        /// Whose power was cut already.
        cut: Option<NodeName>,
    },
}
