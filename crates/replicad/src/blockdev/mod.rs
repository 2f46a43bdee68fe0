//! The volume as a block device: of the kernel's ublk driver, whose requests the owner serves; through the kernel's NBD client,
//! which is a client of the own export; or a file of its own (FUSE), served by the owner, and a loop device on it.

mod attach;
mod fuse;
mod genl;
mod guard;
mod holders;
mod kernel_nbd;
mod leftovers;
mod ublk;
mod wire;

pub(crate) use attach::{Device, Outcome, Settled};
pub(crate) use fuse::{FuseEvent, FuseFile};
pub use guard::guard_device;
pub(crate) use kernel_nbd::{Plan as NbdPlan, is_there as has_kernel_nbd};
pub(crate) use leftovers::clear;
pub(crate) use ublk::{GROWING_SINCE, Made, Plan as UblkPlan, Ublk, UblkEvent, is_there as has_ublk};
