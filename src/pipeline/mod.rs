//! The stages strung together, as every verb needs them: connect, discover, desire, observe, plan, apply, verify.
//!
//! In: a loaded inventory and options. Out: facts, plans, outcomes. Decides nothing; prints nothing.

mod connect;
mod error;
mod options;
mod selector;
mod session;

pub use error::PipelineError;
pub use options::Options;
pub use selector::{NodeSelector, SelectorError};
pub use session::Session;
