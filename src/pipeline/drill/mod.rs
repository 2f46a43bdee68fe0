//! The failover drill: cuts a node's power through the cluster's own fencing and measures what users notice.
//!
//! In: a session. Out: a [`crate::verify::drill::DrillReport`]. What is chosen and what is judged is decided in
//! `verify::drill`; here is who talks to the nodes.

mod error;
mod prepare;
mod run;
mod traffic;

pub use error::DrillError;
pub use prepare::Drill;
