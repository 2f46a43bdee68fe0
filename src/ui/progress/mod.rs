//! Progress: events -> [`RunState`] (pure) -> lines (pure) -> a terminal or a pipe.

mod display;
mod lines;
mod state;

pub use display::{Manner, Progress};
pub use lines::{live_lines, plain_line};
pub use state::{NodeState, PhaseState, RunState, Running};
