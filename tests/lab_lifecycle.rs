//! A cluster's life in a real lab: bring-up from bare nodes, drift, changes under load, crashes, failover, the end.

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "lab/mod.rs"]
mod lab;

#[path = "lab_lifecycle/kills.rs"]
mod kills;
#[path = "lab_lifecycle/life.rs"]
mod life;
#[path = "lab_lifecycle/power.rs"]
mod power;
#[path = "lab_lifecycle/trixie.rs"]
mod trixie;

fn main() -> std::process::ExitCode {
    lab::run_tests(&[
        ("killed_at_every_step", kills::killed_at_every_step),
        ("the_life_of_a_cluster", life::the_life_of_a_cluster),
        ("power_lost_during_apply", power::power_lost_during_apply),
        ("debian_13", trixie::debian_13),
    ])
}
