//! Block devices in a real lab: what is on them, whose they are, and that looking changes nothing.

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "lab/mod.rs"]
mod lab;

#[path = "lab_claims/disks.rs"]
mod disks;
#[path = "lab_claims/verdicts.rs"]
mod verdicts;

fn main() -> std::process::ExitCode {
    lab::run_tests(&[("every_device_has_its_verdict", verdicts::every_device_has_its_verdict)])
}
