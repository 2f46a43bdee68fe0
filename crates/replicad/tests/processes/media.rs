//! A disk that fails and loses its power when told to: a file served through FUSE by the test itself.
//!
//! What is written stays in a volatile cache until a flush brings it to the file beneath. With the power goes what is in
//! the cache, all of it or any part, sector by sector; and with errors switched on, requests fail as a dying disk's do.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::fuse_wire::{self, Call, MAX_DATA_BYTES, MODE};

const SECTOR: u64 = 512;
/// How long the server waits for a request before it looks whether it is still wanted.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    /// Reads fail.
    Reads,
    /// Everything fails.
    All,
}

struct State {
    file: File,
    bytes: u64,
    cache: BTreeMap<u64, [u8; SECTOR as usize]>,
    fault: Fault,
    flushes: u64,
    ended: bool,
}

/// The disk.
pub(crate) struct Media {
    state: Arc<Mutex<State>>,
    device: Arc<OwnedFd>,
    path: PathBuf,
    server: Option<JoinHandle<()>>,
}

impl State {
    fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, Errno> {
        if self.fault != Fault::Nothing {
            return Err(Errno::IO);
        }
        let len = u64::from(len).min(self.bytes.saturating_sub(offset));
        let mut data = vec![0; usize::try_from(len).unwrap()];
        self.file.read_exact_at(&mut data, offset).map_err(|_| Errno::IO)?;
        for (sector, content) in self.cache.range(offset / SECTOR..(offset + len).div_ceil(SECTOR)) {
            let at = usize::try_from(sector * SECTOR - offset).unwrap();
            data[at..at + content.len()].copy_from_slice(content);
        }
        Ok(data)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Errno> {
        if self.fault == Fault::All
            || !offset.is_multiple_of(SECTOR)
            || !(data.len() as u64).is_multiple_of(SECTOR)
        {
            return Err(Errno::IO);
        }
        for (sector, content) in (offset / SECTOR..).zip(data.chunks_exact(SECTOR as usize)) {
            self.cache.insert(sector, content.try_into().unwrap());
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Errno> {
        if self.fault == Fault::All {
            return Err(Errno::IO);
        }
        self.flushes += 1;
        for (sector, content) in std::mem::take(&mut self.cache) {
            self.file.write_all_at(&content, sector * SECTOR).map_err(|_| Errno::IO)?;
        }
        Ok(())
    }

    fn reply(&mut self, device: &OwnedFd, request: &[u8]) {
        let Some(asked) = fuse_wire::decode(request) else { return };
        let unique = asked.unique;
        let plain = |result: Result<(), Errno>| {
            fuse_wire::head(unique, result.err().map_or(0, Errno::raw_os_error), 0)
        };
        let reply = match asked.call {
            Call::Init { flags } => fuse_wire::init(unique, flags),
            Call::Attributes => fuse_wire::attributes(unique, self.bytes),
            Call::FileSystem => fuse_wire::file_system(unique, self.bytes),
            Call::Open => fuse_wire::opened(unique),
            Call::Release => plain(Ok(())),
            Call::Read { offset, len } => match self.read(offset, len) {
                Ok(data) => {
                    let mut reply = fuse_wire::head(unique, 0, data.len());
                    reply.extend_from_slice(&data);
                    reply
                }
                Err(errno) => plain(Err(errno)),
            },
            Call::Write { offset, data } => match self.write(offset, data) {
                Ok(()) => fuse_wire::written(unique, u32::try_from(data.len()).unwrap()),
                Err(errno) => plain(Err(errno)),
            },
            Call::Zero { offset, len, .. } => {
                plain(self.write(offset, &vec![0; usize::try_from(len).unwrap()]))
            }
            Call::Sync => plain(self.flush()),
            Call::Unknown => plain(Err(Errno::NOSYS)),
            Call::Nothing => return,
        };
        // Who asked may be gone: nobody waits for the answer then.
        let _ = rustix::io::write(device, &reply);
    }
}

fn is_readable(device: &OwnedFd, wait: Timespec) -> bool {
    let mut watched = [PollFd::new(device, PollFlags::IN)];
    poll(&mut watched, Some(&wait)).is_ok_and(|ready| ready > 0)
}

fn serve(state: &Mutex<State>, device: &OwnedFd) {
    let mut request = vec![0; MAX_DATA_BYTES as usize + 4096];
    loop {
        let readable = is_readable(device, LOOK);
        // One at a time, and nothing between the request and its answer: who has the lock knows that nothing is half done.
        let mut state = state.lock().unwrap();
        if state.ended {
            return;
        }
        if !readable {
            continue;
        }
        match rustix::io::read(device, &mut request[..]) {
            Ok(bytes) => state.reply(device, &request[..bytes]),
            Err(Errno::AGAIN | Errno::INTR | Errno::NOENT) => {}
            Err(_) => return,
        }
    }
}

impl Media {
    /// Serves `file` at `path`.
    pub(crate) fn new(file: &Path, path: &Path) -> Self {
        File::create(path).unwrap();
        let file = File::options().read(true).write(true).open(file).unwrap();
        let bytes = file.metadata().unwrap().len();
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let device = rustix::fs::open("/dev/fuse", flags, Mode::empty()).unwrap();
        let options = format!(
            "fd={},rootmode={MODE:o},user_id=0,group_id=0,max_read={MAX_DATA_BYTES}",
            device.as_raw_fd()
        );
        let options = CString::new(options).unwrap();
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("hactl-test-disk", path, "fuse", flags, options.as_c_str()).unwrap();
        let state =
            State { file, bytes, cache: BTreeMap::new(), fault: Fault::Nothing, flushes: 0, ended: false };
        let (state, device) = (Arc::new(Mutex::new(state)), Arc::new(device));
        let (its_state, its_device) = (Arc::clone(&state), Arc::clone(&device));
        let server = std::thread::spawn(move || serve(&its_state, &its_device));
        Self { state, device, path: path.to_owned(), server: Some(server) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// From now on it has this fault.
    pub(crate) fn fails(&self, fault: Fault) {
        self.state().fault = fault;
    }

    /// Sectors that a power cut would take now.
    pub(crate) fn volatile_sectors(&self) -> usize {
        self.state().cache.len()
    }

    /// How often it was flushed.
    pub(crate) fn flushes(&self) -> u64 {
        self.state().flushes
    }

    /// The power goes: what is in the cache is lost, but for the sectors that `survives` names. Who used it must stand
    /// still already. It takes no requests until [`Self::power_on`].
    pub(crate) fn power_off(&self, survives: impl Fn(u64) -> bool) {
        let mut state = self.state();
        let State { file, cache, fault, .. } = &mut *state;
        *fault = Fault::All;
        for (sector, content) in std::mem::take(cache) {
            if survives(sector) {
                file.write_all_at(&content, sector * SECTOR).unwrap();
            }
        }
    }

    /// The power is back. Who used it has ended: what it still had asked for is refused first.
    pub(crate) fn power_on(&self) {
        loop {
            let mut state = self.state();
            if !is_readable(&self.device, AT_ONCE) {
                assert!(state.cache.is_empty(), "a disk without power takes nothing");
                state.fault = Fault::Nothing;
                return;
            }
            drop(state);
            std::thread::yield_now();
        }
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        // Whoever still uses it gets errors from now on.
        let _ = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
        if let Ok(mut state) = self.state.lock() {
            state.ended = true;
        }
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}
