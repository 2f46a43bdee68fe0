//! Where a node's root file system keeps what is written to it.
//!
//! In: a record. Out: a directory in memory or on disk. What is in it is the backend's.

use std::fs;

use super::config::{ROOT_IN_MEMORY_BYTES, Storage};
use super::error::LabError;
use super::mounts;
use super::process::Program;
use super::record::{LabRecord, NodePaths};

/// Makes the directory, in memory where the lab is kept so. What is there already stays.
pub(crate) fn mount_writable(lab: &LabRecord, paths: &NodePaths) -> Result<(), LabError> {
    let writable = paths.writable();
    fs::create_dir_all(&writable).map_err(LabError::io("create", &writable))?;
    if lab.storage == Storage::Disk || !mounts::below(&writable)?.is_empty() {
        return Ok(());
    }
    Program::new("mount memory for a node's root file system", ["mount", "-t", "tmpfs", "-o"])
        .arg(format!("size={ROOT_IN_MEMORY_BYTES},mode=0755"))
        .arg("hactl-lab")
        .arg(&writable)
        .run()
        .map(drop)
}
