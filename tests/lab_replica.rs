//! Volumes of hactl's own replication engine in a real lab: from bare nodes to a drilled cluster, and what the engine's agent
//! does when things go wrong.

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "lab/mod.rs"]
mod lab;

#[path = "lab_replica/agent.rs"]
mod agent;
#[path = "lab_replica/both.rs"]
mod both;
#[path = "lab_replica/daytwo.rs"]
mod daytwo;
#[path = "lab_replica/drills.rs"]
mod drills;
#[path = "lab_replica/examples.rs"]
mod examples;
#[path = "lab_replica/volume.rs"]
mod volume;
#[path = "lab_replica/writers.rs"]
mod writers;

fn main() -> std::process::ExitCode {
    let tests: [lab::Test; 6] = [
        ("agent_and_recovery", agent::agent_and_recovery),
        ("both_promoted", both::both_promoted),
        ("controller_pair", examples::controller_pair),
        ("day_two", daytwo::day_two),
        ("nfs_pair", examples::nfs_pair),
        ("survivor_takes_over", volume::survivor_takes_over),
    ];
    lab::run_tests_and(&tests, &[(("drills_in_a_row", drills::drills_in_a_row), drills::not_asked())])
}
