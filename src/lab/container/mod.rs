//! Nodes as containers: systemd-nspawn over an overlay, loop devices as disks. No kernel module, no virtualisation.

pub(crate) mod disks;
mod machine;
mod node;
pub(crate) mod power;

pub(crate) use machine::Container;
