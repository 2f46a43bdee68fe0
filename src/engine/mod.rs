//! What replicates a volume: the kernel's DRBD, or hactl's own engine.
//!
//! Everything in which they differ on a node stands here: the volume's device and file, the shell functions by which it is
//! worked with, and those by which it is looked at. In: a volume. Out: names and texts. Never talks to a node.

mod kind;

pub use kind::{Engine, VolumeId};
