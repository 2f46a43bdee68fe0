//! The backing device: direct I/O with many requests in flight, and the metadata at its end.

mod backend;
mod job;
mod last_known;
mod metadata;
mod pool;
mod store;
#[cfg(test)]
mod tests;
mod uring;
mod volume;

pub use backend::Choice;
pub use last_known::{LastKnown, RecordError, find};
pub use metadata::{Image, MetadataError, create, superblock, volume_bytes};
pub use store::{Store, StoreError};
pub use volume::{Counters, Finished, VolumeDisk};
