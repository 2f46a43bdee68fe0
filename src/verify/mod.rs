//! Stage 7: proves that the cluster does what the inventory says.
//!
//! In: what the barclamps assert, and what is seen. Out: a [`VerifyReport`]. Changes nothing.

mod judge;
mod reach;
mod report;

pub use judge::{judge, queries};
pub use reach::{Reached, reach};
pub use report::{CheckResult, REPORT_FORMAT, VerifyReport};
