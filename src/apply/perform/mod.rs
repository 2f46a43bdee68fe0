//! One file per family of actions: how each is carried out on a node.

mod claims;
mod cluster;
mod devices;
mod directories;
mod dispatch;
mod files;
mod kernel;
mod links;
mod packages;
mod program;
mod secrets;
mod units;
mod volumes;

pub(super) use dispatch::perform;
