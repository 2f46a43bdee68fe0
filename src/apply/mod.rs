//! Stage 6: the plan is carried out, step by step, under a lock, with a journal.
//!
//! In: a [`crate::plan::Plan`] and the fleet. Out: an [`Outcome`]; on the way, events. Makes no choices.

mod device;
mod event;
mod executor;
mod guard;
mod journal;
mod ledger;
mod lock;
mod outcome;
mod perform;
mod prove;
mod run;

pub use event::{Event, EventSink, Phase, Silent, StepResult};
pub use executor::execute;
pub use journal::JOURNAL_PATH;
pub use ledger::LedgerStore;
pub use lock::{LOCK_EXPIRY, LockError, Locks};
pub use outcome::{Failure, FailureKind, Outcome};
pub use run::{Run, StepError};
