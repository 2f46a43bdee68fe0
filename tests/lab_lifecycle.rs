//! A cluster's life in a real lab: bring-up from bare nodes, drift, changes under load, crashes, failover, the end.

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "lab/mod.rs"]
mod lab;

#[path = "lab_lifecycle/life.rs"]
mod life;

fn main() -> std::process::ExitCode {
    lab::run_tests(&[("the_life_of_a_cluster", life::the_life_of_a_cluster)])
}
