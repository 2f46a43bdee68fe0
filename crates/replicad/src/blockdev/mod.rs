//! The volume as a block device: a file of its own (FUSE), served by the owner, and a loop device on it.

mod attach;
mod fuse;
mod leftovers;
mod wire;

pub(crate) use attach::{Device, Outcome, Settled};
pub(crate) use fuse::{FuseEvent, FuseFile};
pub(crate) use leftovers::clear;
