//! The files that everything is measured on, all on one file system, and the folder of sockets; both gone at the end.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// Where the files are, if not beside the results.
const FOLDER_VARIABLE: &str = "HACTL_BENCH_FOLDER";
/// Bytes of a file: what is measured on, and room for metadata.
const FILE_BYTES: u64 = 520 << 20;
/// Bytes of it that workloads use.
pub(crate) const AREA_BYTES: u64 = 512 << 20;
/// Bytes written at a time when a file is made.
const CHUNK_BYTES: usize = 1 << 20;

/// Where the results go.
pub(crate) fn results_folder() -> Result<PathBuf> {
    // The executable is target/release/replicad, wherever target is.
    let executable = Path::new(env!("CARGO_BIN_EXE_replicad"));
    let target = executable.parent().and_then(Path::parent).context("no target folder")?;
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// The files.
pub(crate) struct Disks {
    files: TempDir,
    sockets: TempDir,
}

impl Disks {
    /// The folders, still empty.
    pub(crate) fn create() -> Result<Self> {
        let folder = match std::env::var_os(FOLDER_VARIABLE) {
            Some(folder) => PathBuf::from(folder),
            None => results_folder()?,
        };
        let files = tempfile::Builder::new().prefix("replica-").tempdir_in(&folder);
        let files = files.with_context(|| format!("cannot create a folder in {}", folder.display()))?;
        // Names of sockets must be short: not below the target folder, wherever that is.
        let sockets =
            tempfile::Builder::new().prefix("bench-").tempdir().context("cannot create a folder")?;
        Ok(Self { files, sockets })
    }

    /// The file of this name, made when it is not there: written whole, so that no measured write has to allocate.
    pub(crate) fn file(&self, name: &str) -> Result<PathBuf> {
        let path = self.files.path().join(name);
        if !path.exists() {
            fill(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(path)
    }

    /// Whether a file of this name was made already.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.path().join(name).exists()
    }

    /// A path for a socket, a configuration or a log.
    pub(crate) fn small(&self, name: &str) -> PathBuf {
        self.sockets.path().join(name)
    }
}

fn fill(path: &Path) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    // Not zeroes: those would be sent and stored as such.
    let chunk: Vec<u8> = (0..CHUNK_BYTES).map(|at| (at % 251) as u8 | 1).collect();
    for _ in 0..FILE_BYTES / CHUNK_BYTES as u64 {
        file.write_all(&chunk)?;
    }
    file.sync_all()
}
