//! The volume as a block device: a file of its own (FUSE), served by the owner, and a loop device on it.

mod attach;
mod fuse;
mod wire;

pub(crate) use attach::{Device, Outcome, Settled, release_stale};
pub(crate) use fuse::{FuseEvent, FuseFile};
