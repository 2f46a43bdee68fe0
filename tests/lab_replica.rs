//! Volumes of hactl's own replication engine in a real lab: from bare nodes to a drilled cluster, and what the engine's agent
//! does when things go wrong.

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "lab/mod.rs"]
mod lab;

#[path = "lab_replica/agent.rs"]
mod agent;
#[path = "lab_replica/examples.rs"]
mod examples;
#[path = "lab_replica/volume.rs"]
mod volume;

fn main() -> std::process::ExitCode {
    lab::run_tests(&[
        ("agent_and_recovery", agent::agent_and_recovery),
        ("controller_pair", examples::controller_pair),
        ("nfs_pair", examples::nfs_pair),
        ("survivor_takes_over", volume::survivor_takes_over),
    ])
}
