//! The file that the loop device rests on: a FUSE mount whose root is a regular file. The owner serves it without ever
//! waiting: requests come off the device when it is readable, replies go to it whenever they are ready.

use std::collections::VecDeque;
use std::ffi::CString;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use super::wire::{self, Asked, Call, MAX_DATA_BYTES, MODE};
use crate::buffer::Buffer;
use crate::requests::Wanted;

/// Where the kernel hands out FUSE connections.
const FUSE: &str = "/dev/fuse";
/// Room for the largest request: its data and what comes before it.
const REQUEST_BYTES: usize = MAX_DATA_BYTES as usize + 4096;
/// Requests taken at a time, so that others get their turn.
const REQUESTS_AT_A_TIME: usize = 64;

/// Something the kernel did.
#[derive(Debug)]
pub(crate) enum FuseEvent {
    /// Somebody opened the file.
    Opened,
    /// Somebody closed it.
    Released,
    /// Something is wanted; `written` bytes of data came with it.
    Request { unique: u64, wanted: Wanted, written: u32 },
    /// It was unmounted.
    Gone,
}

/// The file.
#[derive(Debug)]
pub(crate) struct FuseFile {
    device: OwnedFd,
    path: PathBuf,
    size: u64,
    scratch: Vec<u8>,
    /// What happened and was not yet told.
    pub(crate) events: VecDeque<FuseEvent>,
}

impl FuseFile {
    /// Takes away what a process that was killed has left there.
    pub(crate) fn clear(path: &Path) {
        // It ends with an error, once nothing is mounted there any more.
        while rustix::mount::unmount(path, UnmountFlags::DETACH).is_ok() {}
    }

    /// Mounts it. What a process that was killed has left there is taken away first.
    pub(crate) fn mount(path: &Path, size: u64) -> std::io::Result<Self> {
        Self::clear(path);
        std::fs::File::create(path)?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let device = rustix::fs::open(FUSE, flags, Mode::empty())?;
        let options = format!(
            "fd={},rootmode={MODE:o},user_id=0,group_id=0,max_read={MAX_DATA_BYTES}",
            device.as_raw_fd()
        );
        let options = CString::new(options).unwrap_or_default();
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("hactl-replica", path, "fuse", flags, options.as_c_str())?;
        let scratch = vec![0; REQUEST_BYTES];
        Ok(Self { device, path: path.to_owned(), size, scratch, events: VecDeque::new() })
    }

    /// The volume has become larger.
    pub(crate) fn grow(&mut self, size: u64) {
        self.size = size;
        self.send(&wire::attributes_changed(), &[]);
    }

    pub(crate) fn device(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }

    /// Takes what the kernel wants.
    pub(crate) fn receive(&mut self) {
        let mut scratch = std::mem::take(&mut self.scratch);
        for _ in 0..REQUESTS_AT_A_TIME {
            match rustix::io::read(&self.device, &mut scratch[..]) {
                Ok(bytes) => {
                    if let Some(asked) = wire::decode(&scratch[..bytes]) {
                        self.take(asked);
                    }
                }
                // One that was interrupted before it was read.
                Err(Errno::INTR | Errno::NOENT) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.events.push_back(FuseEvent::Gone);
                    break;
                }
            }
        }
        self.scratch = scratch;
    }

    fn take(&mut self, Asked { unique, call }: Asked<'_>) {
        let mut request = |wanted, written| {
            self.events.push_back(FuseEvent::Request { unique, wanted, written });
        };
        match call {
            Call::Read { offset, len } => request(Wanted::Read { offset, len: u64::from(len) }, 0),
            Call::Write { offset, data } => {
                let written = u32::try_from(data.len()).unwrap_or(0);
                let data = Buffer::copied(data).freeze();
                request(Wanted::Write { offset, data, fua: false }, written);
            }
            Call::Zero { offset, len, may_trim } => {
                request(Wanted::Zero { offset, len, may_trim, fua: false }, 0);
            }
            Call::Sync => request(Wanted::Flush, 0),
            Call::Init { flags } => self.send(&wire::init(unique, flags), &[]),
            Call::Attributes => self.send(&wire::attributes(unique, self.size), &[]),
            Call::FileSystem => self.send(&wire::file_system(unique, self.size), &[]),
            Call::Open => {
                self.events.push_back(FuseEvent::Opened);
                self.send(&wire::opened(unique), &[]);
            }
            Call::Release => {
                self.events.push_back(FuseEvent::Released);
                self.send(&wire::head(unique, 0, 0), &[]);
            }
            Call::Nothing => {}
            Call::Unknown => self.send(&wire::head(unique, Errno::NOSYS.raw_os_error(), 0), &[]),
        }
    }

    /// Answers a request.
    pub(crate) fn reply(&self, unique: u64, written: u32, result: Result<Vec<Bytes>, Errno>) {
        match result {
            Err(errno) => self.send(&wire::head(unique, errno.raw_os_error(), 0), &[]),
            Ok(_) if written > 0 => self.send(&wire::written(unique, written), &[]),
            Ok(parts) => {
                let len = parts.iter().map(Bytes::len).sum();
                self.send(&wire::head(unique, 0, len), &parts);
            }
        }
    }

    fn send(&self, head: &[u8], parts: &[Bytes]) {
        let slices: Vec<IoSlice<'_>> =
            std::iter::once(IoSlice::new(head)).chain(parts.iter().map(|part| IoSlice::new(part))).collect();
        // Who asked may have gone meanwhile, or everything was unmounted: nobody waits for the answer then.
        let _ = rustix::io::writev(&self.device, &slices);
    }
}

impl Drop for FuseFile {
    fn drop(&mut self) {
        // Whoever still uses it gets errors from now on; a mount point that is not there any more is as good.
        let _ = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
    }
}
