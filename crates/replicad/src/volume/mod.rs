//! A running volume: one owner of the core, and everything it is connected to.

mod admin;
mod clients;
mod device;
mod events;
mod metrics;
mod orders;
mod owner;
mod report;
mod start;
mod ublk;

pub use owner::Volume;
pub use start::{Paths, StartError, clear_leftovers};
