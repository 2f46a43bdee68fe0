//! Stage 3: which device may be used for what, and the evidence. Pure.
//!
//! In: the facts of a node, the policy and the claims of the inventory, the ledger of claims. Out: a verdict for every
//! device, and for every purpose the device that serves it or why there is none. Never writes, never guesses: what could
//! not be determined speaks against a device.

mod findings;
mod help;
mod identity;
mod judge;
mod own_use;
mod verdict;

pub use help::claim_help;
pub use judge::judge;
pub use verdict::{Evidence, JudgedDevice, Verdict};
