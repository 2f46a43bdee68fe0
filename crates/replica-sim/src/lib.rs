//! A seeded simulator around the replication engine's core.
//!
//! One seed is one cluster (two disks; with a tiebreaker and quorum, with fencing, or with no guard at all), one
//! workload and one series of faults: crashes that lose any part of what was not flushed, torn metadata, connections cut
//! and partitioned, slow and failing disks. After every step the checkers look whether
//! - what was answered is there after a failover (`model`, `history`),
//! - no two Primaries are connected unless that is allowed, and no replaced one goes on writing,
//! - two Primaries that are allowed hold the same once nothing is on its way, whatever they wrote to the same blocks,
//! - every block that differs is marked (`check`),
//! - nothing that was answered is thrown away without a policy or an order to,
//! - whatever a crash leaves of the metadata can be attached.
//!
//! At the end the faults stop, and the cluster has to come to rest by itself: in sync, and answering.
//! `cargo run -p replica-sim -- --seed N` replays one, with a trace.

mod check;
mod disk;
mod driver;
mod history;
mod model;
mod network;
mod report;
mod rng;
mod run;
mod scenario;
mod world;

pub use run::{Failure, Summary, run};
