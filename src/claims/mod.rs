//! Stage 3: which device may be used for what, and the evidence. Pure.
//!
//! In: the facts of a node, the policy and the claims of the inventory, the ledger of claims. Out: a verdict for every
//! device, and for every purpose the device that serves it or why there is none. Never writes, never guesses: what could
//! not be determined speaks against a device.

mod across;
mod claimed;
mod consent;
mod findings;
mod fleet;
mod help;
mod identity;
mod judge;
mod own_use;
mod recheck;
mod refusal;
mod request;
mod resolve;
mod select;
#[cfg(test)]
mod tests;
mod uuid;
mod verdict;

#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod properties;

pub use claimed::{ClaimedDevice, Claims};
pub use fleet::judge_fleet;
pub use help::claim_help;
pub use judge::judge;
pub use recheck::recheck;
pub use refusal::Refusal;
pub use request::{Across, ClaimRequest, Expectation, ExpectedUuid};
pub use resolve::{Resolution, resolve};
pub use uuid::{common_uuid, derived_uuid};
pub use verdict::{Evidence, JudgedDevice, Verdict};
