//! The trait that every kind of managed thing implements.

use super::{Change, DiffContext, ResourceId};
use crate::facts::Query;
use crate::names::NodeName;
use crate::plan::{Blocked, Note};

/// One managed thing. One file each in `resource/`.
pub trait Resource: std::fmt::Debug + Send + Sync {
    /// Its name, unique in a plan.
    fn id(&self) -> &ResourceId;

    /// What must be as wanted before this is changed.
    fn requires(&self) -> &[ResourceId];

    /// What must be observed, and where, to judge it.
    fn queries(&self) -> Vec<(NodeName, Query)>;

    /// How it differs from what is wanted.
    ///
    /// # Errors
    /// It cannot be judged (something is unknown) or must not be changed.
    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked>;

    /// How it differs, and what a person should know about it although nothing is to be done: together, for a
    /// resource whose comparison tells both.
    fn judge(&self, context: &DiffContext<'_>) -> (Vec<Note>, Result<Change, Blocked>) {
        (Vec::new(), self.diff(context))
    }
}
