//! The replication engine's shell: what makes the core of `replica` a running volume.
//!
//! In: a volume's file, its backing device, connections of peers and clients, orders. Out: an NBD export, a control
//! socket. It decides nothing about data: states, generations and the order of writes are the core's; formats are the
//! codecs' (`nbd`, `drbd-meta`, `replica-link`).
//!
//! | module | what it is |
//! | --- | --- |
//! | [`settings`] | the volume's file |
//! | [`disk`] | the backing device and its metadata |
//! | `net` | connections to the peers |
//! | `export`, `requests` | the NBD export; requests cut into pieces and put together again |
//! | [`control`] | the control socket, both sides |
//! | `blockdev` | the volume as a block device: the kernel's ublk driver, its NBD client, or FUSE file and loop device |
//! | `listener` | the unix sockets of both |
//! | `exposition` | metrics as Prometheus reads them |
//! | `handlers` | the admin's commands |
//! | [`volume`] | the owner of all these: one thread, one loop, no locks |

mod blockdev;
pub mod control;
pub mod disk;
mod export;
mod exposition;
mod handlers;
mod listener;
mod net;
mod outqueue;
mod poll;
mod requests;
pub mod settings;
pub mod volume;

pub use blockdev::guard_device;
pub use export::ServeError;
pub use listener::ListenError;
pub use net::NetError;
pub use replica::buffer;
