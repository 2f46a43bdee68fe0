//! Claims in a real lab, from the inventory to written devices: what is taken, what is refused, what a killed run leaves.

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// The helpers are shared with the other lab tests; not all of them are used here.
#![allow(dead_code, unused_imports)]

#[path = "lab/mod.rs"]
mod lab;

#[path = "lab_claims_use/asked.rs"]
mod asked;
#[path = "lab_claims_use/kills.rs"]
mod kills;
#[path = "lab_claims_use/sbd.rs"]
mod sbd;
#[path = "lab_claims_use/stores.rs"]
mod stores;
#[path = "lab_claims_use/taken.rs"]
mod taken;

fn main() -> std::process::ExitCode {
    lab::run_tests(&[("from_claims_to_written_devices", stores::from_claims_to_written_devices)])
}
