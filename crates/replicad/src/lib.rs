//! The replication engine's shell: what makes the core of `replica` a running volume.

pub mod buffer;
pub mod disk;
