//! Images and packages that several labs share: built once, whole or not at all, found again by content.
//!
//! In: what it is made of (the key) and how to make it. Out: a directory that never changes again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Say;
use super::error::LabError;
use super::lock::{Lock, Mode};
use super::mounts;
use super::process::Program;

/// Longest wait for another run that builds the same thing.
const BUILD_WAIT: Duration = Duration::from_secs(30 * 60);
/// Longest time to delete a tree.
const REMOVE_LIMIT: Duration = Duration::from_secs(120);
/// Prefix of what is being built.
const UNFINISHED: &str = ".new-";

/// A directory in the cache.
#[derive(Debug)]
pub(crate) struct Entry {
    cache_dir: PathBuf,
    name: String,
}

impl Entry {
    /// `label` is for people, `inputs` is everything that decides the content.
    pub(crate) fn new(cache_dir: &Path, label: &str, inputs: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for input in inputs {
            hash.update((input.len() as u64).to_be_bytes());
            hash.update(input.as_bytes());
        }
        let digest = hash.finalize();
        let key: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self { cache_dir: cache_dir.to_path_buf(), name: format!("{label}-{key}") }
    }

    /// The directory, built by `build` if it is not there.
    pub(crate) fn get(
        &self,
        say: Say<'_>,
        build: impl FnOnce(&Path) -> Result<(), LabError>,
    ) -> Result<PathBuf, LabError> {
        let path = self.cache_dir.join(&self.name);
        if path.is_dir() {
            return Ok(path);
        }
        fs::create_dir_all(&self.cache_dir).map_err(LabError::io("create", &self.cache_dir))?;
        let lock_path = lock_of(&self.cache_dir, &self.name);
        let lock = match Lock::try_take(&lock_path, Mode::Exclusive)? {
            Some(lock) => lock,
            None => {
                say(&format!("waiting for {}, which another run is building", self.name));
                Lock::take(&lock_path, Mode::Exclusive, BUILD_WAIT)?
            }
        };
        if !path.is_dir() {
            let unfinished = self.cache_dir.join(format!("{UNFINISHED}{}", self.name));
            remove_tree(&unfinished)?;
            fs::create_dir(&unfinished).map_err(LabError::io("create", &unfinished))?;
            if let Err(error) = build(&unfinished) {
                // The first error is the one to show; what is left is removed by the next run.
                let _ = remove_tree(&unfinished);
                return Err(error);
            }
            fs::rename(&unfinished, &path).map_err(LabError::io("rename", &unfinished))?;
        }
        lock.remove()?;
        Ok(path)
    }
}

/// Removes what killed runs left half built.
pub(crate) fn sweep(cache_dir: &Path) -> Result<(), LabError> {
    let Ok(entries) = fs::read_dir(cache_dir) else { return Ok(()) };
    for entry in entries.filter_map(Result::ok) {
        let file = entry.file_name();
        let Some(name) = file.to_str().and_then(|file| file.strip_prefix(UNFINISHED)) else { continue };
        if let Some(lock) = Lock::try_take(&lock_of(cache_dir, name), Mode::Exclusive)? {
            remove_tree(&entry.path())?;
            lock.remove()?;
        }
    }
    Ok(())
}

fn lock_of(cache_dir: &Path, name: &str) -> PathBuf {
    cache_dir.join(format!("{name}.lock"))
}

/// Deletes a tree; refuses when something is mounted in it, so that nothing else is deleted through a mount.
pub(crate) fn remove_tree(path: &Path) -> Result<(), LabError> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    if let Some(mount) = mounts::below(path)?.first() {
        return Err(LabError::Leftover {
            lab: path.display().to_string(),
            left: vec![format!("mount {}", mount.display())],
        });
    }
    Program::new("delete files", ["rm", "-rf", "--one-file-system", "--"].map(std::ffi::OsString::from))
        .arg(path)
        .limit(REMOVE_LIMIT)
        .run()
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_built_once_and_never_half() {
        let dir = tempfile::tempdir().unwrap();
        let entry = Entry::new(dir.path(), "image", &["a", "b"]);
        let failed = entry.get(&|_| {}, |dir| {
            fs::write(dir.join("half"), "x").unwrap();
            Err(LabError::Usage("no".to_owned()))
        });
        assert!(failed.is_err());
        let path = entry
            .get(&|_| {}, |dir| {
                assert!(!dir.join("half").exists());
                fs::write(dir.join("whole"), "x").map_err(LabError::io("write", dir))
            })
            .unwrap();
        assert!(path.join("whole").exists());
        assert_eq!(entry.get(&|_| {}, |_| panic!("built twice")).unwrap(), path);
        let other = Entry::new(dir.path(), "image", &["ab", ""]);
        assert_ne!(other.name, entry.name);
    }

    #[test]
    fn leftovers_of_a_killed_build_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".new-image-1")).unwrap();
        sweep(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
