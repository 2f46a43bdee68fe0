//! Stage 6: the plan is carried out, step by step, under a lock, with a journal.
//!
//! In: a [`crate::plan::Plan`] and the fleet. Out: an [`Outcome`]; on the way, events. Makes no choices.

mod event;
mod outcome;

pub use event::{Event, EventSink, Phase, Silent, StepResult};
pub use outcome::{Failure, FailureKind, Outcome};
