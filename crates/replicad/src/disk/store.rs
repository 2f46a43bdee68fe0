//! The backing device: a file or block device, opened for direct I/O where that is possible.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nbd::Extent;
use rustix::fs::{FlockOperation, OFlags};

use crate::buffer::Buffer;

/// Logical blocks to try direct I/O with, in bytes, smallest first.
const LOGICAL_BLOCKS: [usize; 2] = [512, 4096];

/// Pieces of data and holes that are told at a time.
const MAX_PIECES: usize = 512;

/// Why a backing device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Neither a file nor a block device.
    #[error("{0} is neither a regular file nor a block device")]
    Kind(PathBuf),
    /// Another process has it.
    #[error("{0} is in use by another process: stop what uses it")]
    InUse(PathBuf),
    /// It cannot be read or written.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// An opened backing device. Held exclusively as long as it lives.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    bytes: AtomicU64,
    /// Through the page cache: for what is not aligned, and where direct I/O is not to be had.
    buffered: File,
    direct: Option<File>,
    logical_block: usize,
}

impl Store {
    /// Opens it for reading and writing, exclusively.
    ///
    /// # Errors
    /// When it does not exist, is in use, or is no place for data.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_for(path, true)
    }

    /// Opens it for reading, exclusively as well. Nobody is told when it is closed: udev looks at a block device that somebody
    /// could have written to, and holds it meanwhile.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        Self::open_for(path, false)
    }

    fn open_for(path: &Path, writing: bool) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open { path: path.to_owned(), source };
        let kind = std::fs::metadata(path).map_err(failed)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(StoreError::Kind(path.to_owned()));
        }
        // On a block device O_EXCL keeps file systems and other users out, and us out of theirs.
        let exclusive = if kind.is_block_device() { OFlags::EXCL } else { OFlags::empty() };
        let open = |extra: OFlags| {
            let flags = (extra | OFlags::CLOEXEC).bits().cast_signed();
            OpenOptions::new().read(true).write(writing).custom_flags(flags).open(path)
        };
        let mut buffered = open(exclusive).map_err(|error| match error.raw_os_error() {
            Some(errno) if errno == rustix::io::Errno::BUSY.raw_os_error() => {
                StoreError::InUse(path.to_owned())
            }
            _ => failed(error),
        })?;
        rustix::fs::flock(&buffered, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| StoreError::InUse(path.to_owned()))?;
        let bytes = buffered.seek(SeekFrom::End(0)).map_err(failed)?;
        let direct = open(OFlags::DIRECT).ok();
        let logical_block = direct.as_ref().and_then(logical_block);
        Ok(Self {
            path: path.to_owned(),
            bytes: AtomicU64::new(bytes),
            buffered,
            direct: direct.filter(|_| logical_block.is_some()),
            logical_block: logical_block.unwrap_or(LOGICAL_BLOCKS[0]),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Looks again how large it is.
    ///
    /// # Errors
    /// When it does not say.
    pub fn look_at_size(&self) -> Result<u64, StoreError> {
        let failed = |source| StoreError::Io { what: "find the size of", path: self.path.clone(), source };
        let bytes = (&self.buffered).seek(SeekFrom::End(0)).map_err(failed)?;
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(bytes)
    }

    /// What direct requests must be multiples of.
    #[must_use]
    pub const fn logical_block(&self) -> usize {
        self.logical_block
    }

    /// Whether direct I/O is possible at all.
    #[must_use]
    pub const fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// The file to use for a request at this place.
    #[must_use]
    pub fn file_for(&self, offset: u64, len: u64) -> &File {
        let block = self.logical_block as u64;
        match &self.direct {
            Some(direct) if offset.is_multiple_of(block) && len.is_multiple_of(block) => direct,
            _ => &self.buffered,
        }
    }

    /// The file to flush, and to give space back on.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.buffered
    }

    /// Where there is data and where a hole, which reads as zeroes, from `offset` on and in order; as far as the file system
    /// tells, else it is all data. What comes after `MAX_PIECES` pieces has to be asked for again.
    #[must_use]
    pub fn allocation(&self, offset: u64, len: u64) -> Vec<Extent> {
        use rustix::fs::SeekFrom::{Data, Hole};
        let end = offset.saturating_add(len).min(self.bytes());
        let mut pieces = Vec::new();
        let mut at = offset;
        while at < end && pieces.len() < MAX_PIECES {
            let data = match rustix::fs::seek(&self.buffered, Data(at)) {
                Ok(data) => data.clamp(at, end),
                // Nothing but a hole from here on.
                Err(rustix::io::Errno::NXIO) => end,
                Err(_) => at,
            };
            let hole = data > at;
            let until = if hole {
                data
            } else {
                rustix::fs::seek(&self.buffered, Hole(at)).map_or(end, |hole| hole.clamp(at + 1, end))
            };
            pieces.push(Extent { length: until - at, hole, zero: hole });
            at = until;
        }
        pieces
    }

    /// Reads at once.
    ///
    /// # Errors
    /// When not all of it can be read.
    pub fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Buffer::new(len);
        self.file_for(offset, len as u64).read_exact_at(&mut bytes, offset).map_err(|source| {
            StoreError::Io { what: "read the metadata of", path: self.path.clone(), source }
        })?;
        Ok(bytes.to_vec())
    }

    /// Writes at once, not yet to stable storage.
    ///
    /// # Errors
    /// When not all of it can be written.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<(), StoreError> {
        let data = Buffer::copied(data);
        let failed = |source| StoreError::Io { what: "write to", path: self.path.clone(), source };
        self.file_for(offset, data.len() as u64).write_all_at(&data, offset).map_err(failed)
    }

    /// Brings everything to stable storage.
    ///
    /// # Errors
    /// When that fails; what was written since the last time may be lost.
    pub fn sync(&self) -> Result<(), StoreError> {
        let failed = |source| StoreError::Io { what: "flush", path: self.path.clone(), source };
        self.buffered.sync_data().map_err(failed)
    }
}

/// The smallest unit of direct I/O, found by trying.
fn logical_block(file: &File) -> Option<usize> {
    LOGICAL_BLOCKS.into_iter().find(|size| file.read_at(&mut Buffer::new(*size), 0).is_ok())
}
