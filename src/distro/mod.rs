//! Distributions: which ones hactl knows, and what things are called on them.
//!
//! In: what a node's `os-release` says. Out: a [`Distro`], or the reason why the node cannot be managed. Never
//! talks to a node.

mod release;
mod table;

pub use release::{Distro, UnsupportedDistro};
pub use table::{DistroTable, DistroTableError};
