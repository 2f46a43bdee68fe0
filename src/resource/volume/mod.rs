//! Replicated volumes: how one is made, brought back, grown, and what stands in the way of it.
//!
//! In: what is wanted of a volume, and what was seen of it on its two nodes. Out: a [`Change`](super::Change). Everything is
//! decided from what is seen: metadata on the disks, the kernel's report, the superblock on the volume.

mod form;
mod maintain;
mod replicated;
mod seen;
mod split;
mod sync;

pub use replicated::{Discard, InitialSync, ReplicatedVolume};
pub use sync::VolumeSync;

#[cfg(test)]
mod tests;
