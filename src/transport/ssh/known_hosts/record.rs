//! Recording the key of a host that was accepted as new.
//!
//! In: a known_hosts file, a name, a key. Out: one more line in the file, durable. Never changes a line.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use camino::Utf8Path;
use russh::keys::PublicKey;
use rustix::fs::{FlockOperation, flock};

use super::HostName;

/// Appends the host's key; blocks while another hactl does the same.
///
/// # Errors
/// The file cannot be written.
pub(in crate::transport::ssh) fn record(
    file: &Utf8Path,
    name: &HostName,
    key: &PublicKey,
) -> Result<(), String> {
    append(file, name, key).map_err(|error| format!("cannot record the host's key in {file}: {error}"))
}

fn append(path: &Utf8Path, name: &HostName, key: &PublicKey) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    flock(&file, FlockOperation::LockExclusive)?;
    // Without the comment: it is the server's, and may hold anything.
    let key = PublicKey::new(key.key_data().clone(), "").to_openssh().map_err(std::io::Error::other)?;
    let line = format!("{} {}\n", name.as_str(), key.trim());
    let start = if ends_with_newline(&mut file)? { "" } else { "\n" };
    file.write_all(format!("{start}{line}").as_bytes())?;
    file.sync_all()
}

fn ends_with_newline(file: &mut File) -> std::io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
