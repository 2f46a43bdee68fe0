//! Advisory locks on files: who works on what.
//!
//! In: a path. Out: a lock that ends with its holder's process, however that ends. Never waits without a limit.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::error::LabError;
use super::process::{ProcessId, wait_for};

/// A held lock.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    mode: Mode,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.mode == Mode::Exclusive {
            // The signature must not outlive the lock; if it does, it names a process that has ended.
            let _ = self.file.set_len(0);
        }
    }
}

/// How a lock is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Alone.
    Exclusive,
    /// With others that do not change the whole.
    Shared,
}

impl Lock {
    /// Takes the lock now, or says that somebody else has it (`None`).
    pub(crate) fn try_take(path: &Path, mode: Mode) -> Result<Option<Self>, LabError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(LabError::io("create", parent))?;
        }
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(path)
                .map_err(LabError::io("open", path))?;
            let operation = match mode {
                Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
                Mode::Shared => FlockOperation::NonBlockingLockShared,
            };
            match flock(&file, operation) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(LabError::io("lock", path)(error.into())),
            }
            // The holder before us may have removed the file: then this lock protects nothing.
            let held = file.metadata().map_err(LabError::io("look at", path))?;
            if fs::metadata(path).is_ok_and(|now| now.ino() == held.ino() && now.dev() == held.dev()) {
                let mut lock = Self { file, path: path.to_path_buf(), mode };
                if mode == Mode::Exclusive {
                    lock.sign()?;
                }
                return Ok(Some(lock));
            }
        }
    }

    /// Takes the lock, waiting for it at most `limit`.
    pub(crate) fn take(path: &Path, mode: Mode, limit: Duration) -> Result<Self, LabError> {
        let what = || format!("wait for {} ({})", path.display(), Self::holder(path));
        wait_for(what, limit, || Self::try_take(path, mode))
    }

    /// Who holds it, for people.
    pub(crate) fn holder(path: &Path) -> String {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.trim().is_empty() { "it injects a fault".to_owned() } else { text.trim().to_owned() }
    }

    /// Whether it names a process that has ended.
    pub(crate) fn holder_is_dead(path: &Path) -> bool {
        let text = fs::read_to_string(path).unwrap_or_default();
        let pid = text.split_whitespace().nth(1).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| ProcessId::of(pid).is_none())
    }

    /// Ends the lock and removes its file.
    pub(crate) fn remove(self) -> Result<(), LabError> {
        fs::remove_file(&self.path).map_err(LabError::io("remove", &self.path))
    }

    fn sign(&mut self) -> Result<(), LabError> {
        let since = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let text = format!("process {} since {since}\n", std::process::id());
        self.file.set_len(0).map_err(LabError::io("write", &self.path))?;
        self.file.write_all(text.as_bytes()).map_err(LabError::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_is_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lab.lock");
        let first = Lock::try_take(&path, Mode::Exclusive).unwrap().unwrap();
        assert!(Lock::try_take(&path, Mode::Exclusive).unwrap().is_none());
        assert!(Lock::try_take(&path, Mode::Shared).unwrap().is_none());
        assert!(Lock::holder(&path).starts_with(&format!("process {}", std::process::id())));
        first.remove().unwrap();
        assert!(!path.exists());
        assert!(Lock::try_take(&path, Mode::Shared).unwrap().is_some());
    }

    #[test]
    fn readers_share() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lab.lock");
        let _first = Lock::try_take(&path, Mode::Shared).unwrap().unwrap();
        assert!(Lock::try_take(&path, Mode::Shared).unwrap().is_some());
        assert!(Lock::try_take(&path, Mode::Exclusive).unwrap().is_none());
    }
}
