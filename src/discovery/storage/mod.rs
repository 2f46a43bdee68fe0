//! What block devices a node has, what is on them and who uses them.
//!
//! Three questions: `lsblk` (which devices), `tree` (sysfs, device nodes and links, mounts, swap: nothing is opened) and
//! `content` (every device opened read-only, with wipefs(8), blkid(8) and probes of their own). `assemble` makes one list
//! of the three answers. What a probe could not learn about one device is unknown for that device only.

mod assemble;
mod blkid;
mod content;
mod escape;
mod lsblk;
mod magic;
mod opened;
mod recorded;
mod tree;
mod wipefs;

#[cfg(test)]
mod open_tests;

pub(super) use assemble::assemble;
pub(super) use content::ContentProbe;
pub(super) use lsblk::LsblkProbe;
pub use recorded::recorded_block_devices;
pub(super) use tree::TreeProbe;
