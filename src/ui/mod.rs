//! Everything a person sees: plans, progress, tables. Decides nothing.
//!
//! In: the values of the pipeline (plans, events, outcomes, facts). Out: text, for a terminal or a pipe. Never
//! contacts a node, never changes what it shows.

mod claims;
mod count;
mod devices;
mod diff;
mod drift;
mod drill;
mod facts;
mod outcome;
mod plan;
pub mod progress;
mod status;
mod table;
mod theme;
mod verify;

pub use claims::claims_text;
pub use count::{count, duration, size};
pub use devices::devices_text;
pub use diff::{Mark, mark_of, styled_diff};
pub use drift::drift_text;
pub use drill::drill_text;
pub use facts::facts_table;
pub use outcome::outcome_text;
pub use plan::{Detail, PlanView};
pub use status::status_text;
pub(crate) use table::{Columns, Tone, cell};
pub use theme::{ColorChoice, Surroundings, Theme};
pub use verify::verify_text;
