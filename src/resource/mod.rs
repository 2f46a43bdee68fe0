//! One file per kind of managed thing: what it asks about a node, and how it differs from what is wanted.
//!
//! In: what is wanted, and what was observed. Out: a [`Change`]. Never touches a node.

mod change;
mod cib;
mod context;
mod corosync;
mod device_claim;
mod file;
mod filesystem;
mod hosts;
mod id;
mod kernel;
mod lab_fencing;
mod link_check;
mod managed;
mod membership;
mod packages;
mod program;
mod rollout;
mod sbd_header;
mod seeded_directory;
mod shared_secret;
mod teardown;
mod unit;
mod volume;

pub use change::{Change, Steps};
pub use cib::CibConfig;
pub(crate) use cib::SETTLE_LIMIT;
pub use context::DiffContext;
pub use corosync::CorosyncConfig;
pub use device_claim::DeviceClaim;
pub use file::ManagedFile;
pub use filesystem::Filesystem;
pub use hosts::{HostsBlock, HostsEntry};
pub use id::ResourceId;
pub use kernel::{KernelModule, Sysctl};
pub use lab_fencing::{LAB_MARK, LabFencing};
pub use link_check::LinkCheck;
pub use managed::Resource;
pub use membership::Membership;
pub use packages::Packages;
pub use program::OwnProgram;
pub use sbd_header::SbdHeader;
pub use seeded_directory::{SET_ASIDE, SeededDirectory};
pub use shared_secret::SharedSecret;
pub use teardown::Teardown;
pub use unit::{BootState, RunState, Unit};
pub use volume::{Discard, InitialSync, ReplicatedVolume, VolumeSync};
