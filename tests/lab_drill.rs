//! Failover drills in a real lab: what they measure, what they find, and what they refuse.

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "lab/mod.rs"]
mod lab;

#[path = "lab_drill/drills.rs"]
mod drills;

fn main() -> std::process::ExitCode {
    lab::run_tests(&[("failover_drills", drills::failover_drills)])
}
