//! The stages strung together, as every verb needs them: connect, discover, desire, observe, plan, apply, verify.
//!
//! In: a loaded inventory and options. Out: facts, plans, outcomes. Decides nothing; prints nothing.

mod claims;
mod connect;
mod destroy;
mod drill;
mod error;
mod local_files;
mod open;
mod options;
mod prepare;
mod preview;
mod selector;
mod session;
mod status;
mod verify;

pub use claims::{CLAIM_LIST_FORMAT, ClaimList, ListedClaim, NodeClaims};
pub use drill::{Drill, DrillError};
pub use error::PipelineError;
pub use options::{DEFAULT_PARALLEL, Options};
pub use prepare::Prepared;
pub use selector::{NodeSelector, SelectorError};
pub use session::Session;
