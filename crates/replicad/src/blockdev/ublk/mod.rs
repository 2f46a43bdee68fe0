//! The volume as a device of the kernel's ublk driver: requests come by an io_uring of the owner's, without a socket and a
//! second device in between.
//!
//! | file | what it is |
//! | --- | --- |
//! | `abi` | the driver's commands and structures as bytes |
//! | `control` | making, growing and taking away devices; for threads beside the owner |
//! | `queue` | the requests of one device, for the owner |
//!
//! Own code, because the library there is, `libublk`, is a runtime: it wants threads and an executor (`smol`) of its own, where
//! one thread has everything here, and pins another version of `io-uring`. What one device with one queue needs is little.
//!
//! No second process ends the device when this one is killed, as one has to for NBD: the kernel does it by itself. Without
//! `UBLK_F_USER_RECOVERY`, which is not asked for, it fails the requests under way and all that come, and stops the device, when
//! the process that serves it ends. What remains is a number that nobody uses (`/dev/ublkcN`), until `clear`.

mod abi;
mod control;
mod queue;

pub(crate) use abi::GROWING_SINCE;
pub(crate) use control::{Made, Plan, is_there};
pub(super) use control::{begin, clear, enlarge, make, remove, remove_device};
pub(crate) use queue::{Ublk, UblkEvent};
