//! The Cluster Information Base: read, made, compared, patched.
//!
//! In: what Pacemaker's tools print. Out: typed values, the difference between two of
//! them, and the one atomic patch that removes it. Never runs a command: that is the transport's job.

mod between;
mod change;
mod diff;
mod intent;
mod merge;
mod model;
mod patch;
mod secret;
mod simulate;
mod standing;
mod status;
mod units;
mod xml;

pub use between::patch_between;
pub use change::{ChangeKind, FieldChange, ObjectChange, ObjectRef};
pub use diff::{CibDiff, Conflict, ConflictReason, OWNER_TAG, Ownership, diff};
pub use intent::{ROLLOUT_SET, intent_digest};
pub use model::{Cib, CibVersion, Section};
pub use patch::{CibPatch, EXIT_OLD, EXIT_SCHEMA, Guard, PatchError, PatchOp, RequestError, StaleCib};
pub use secret::{
    MASK, Reveal, UnknownSecret, has_marker, is_secret_name, marker, masked, nothing, revealed,
};
pub use simulate::{ActionKind, SimulatedAction, Simulation, parse_crm_simulate};
pub use status::{
    ClusterStatus, EXIT_NOT_RUNNING, Failure, FenceEvent, NodeStatus, OutputError, ResourceStatus,
    parse_crm_mon,
};
pub use units::DesiredError;
pub use xml::{Element, MAX_XML_BYTES, MAX_XML_DEPTH, MAX_XML_NODES, Node, XmlError, is_valid_id};

/// Builders of wanted configurations, for tests: in use it is templates that make them.
#[cfg(test)]
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "complete in itself, whichever of it the tests need"
)]
mod build;
#[cfg(test)]
mod tests;
