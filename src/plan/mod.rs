//! Stage 5: what would be changed, in which order, at which risk. Pure.
//!
//! In: the desired resources and the facts. Out: a [`Plan`], an immutable value that is printed, saved,
//! compared and executed as it stands.

mod action;
mod build;
mod check;
mod document;
mod drift;
pub mod preflight;
mod restrict;
mod step;
mod volume;

pub use action::{Action, FilesystemType, UNFINISHED_LABEL, UnitVerb};
pub use build::{PlanError, build};
pub use check::Check;
pub use document::{Blocked, Note, PLAN_FORMAT, Plan, ResourceChange};
pub use drift::{Origin, origins};
pub use restrict::restrict;
pub use step::{DeviceGuard, Guard, Risk, Step, StepId};
pub use volume::{SeedSource, VolumeGoal, VolumeTarget, VolumeVerb};
