//! From the tree to the model: one file per part of the inventory, on one decoder that collects mistakes.

mod claims;
mod cluster;
mod constraints;
mod decoder;
pub(crate) mod fields;
mod resources;
mod rules;
mod settings;
mod ssh;

pub(crate) use decoder::{Decoder, Reference, RefersTo};
pub use rules::MAX_RULE_CONDITIONS;
