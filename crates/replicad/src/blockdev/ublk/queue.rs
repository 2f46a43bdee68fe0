//! The requests of a ublk device: the owner takes them off a ring, and puts the answers on it, without ever waiting.
//!
//! One command for each request that may be under way is with the kernel, or what it was answered with is here. The kernel
//! describes a request in memory that is mapped here, and has its data read and written by system calls: it never reads or writes
//! memory of this process by itself. All of this is for one thread, the first that fetches: the kernel asks for that.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use bytes::Bytes;
use io_uring::{IoUring, opcode, squeue, types};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use super::abi::{self, Asked, DEPTH, DESCRIPTOR_BYTES};
use super::control::Made;
use crate::buffer::Buffer;
use crate::requests::Wanted;

/// Something the kernel did.
#[derive(Debug)]
pub(crate) enum UblkEvent {
    /// Something is wanted; the answer is for this number.
    Request { tag: u16, wanted: Wanted },
    /// The device has ended.
    Gone,
}

/// Where the kernel describes requests.
#[derive(Debug)]
struct Descriptors {
    at: NonNull<[u8; DESCRIPTOR_BYTES]>,
    bytes: usize,
}

impl Descriptors {
    fn map(file: &OwnedFd) -> Result<Self, Errno> {
        let bytes = (usize::from(DEPTH) * DESCRIPTOR_BYTES).next_multiple_of(rustix::param::page_size());
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: the kernel chooses where, so nothing that is there already is replaced.
        let at = unsafe { rustix::mm::mmap(std::ptr::null_mut(), bytes, ProtFlags::READ, flags, file, 0) }?;
        let at = NonNull::new(at.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { at, bytes })
    }

    /// What a request is. The kernel does not change it between the request and its answer.
    fn read(&self, tag: u16) -> Asked {
        let tag = usize::from(tag.min(DEPTH - 1));
        // SAFETY: `map` has made room for DEPTH of them, and `tag` is below that; bytes need no alignment.
        abi::decode(&unsafe { self.at.add(tag).read_volatile() })
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        // SAFETY: `map` has mapped so many bytes there, and nothing refers to them: `read` copies.
        let unmapped = unsafe { rustix::mm::munmap(self.at.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "what was mapped can be unmapped");
    }
}

/// How it is with one of the requests that may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// The kernel has the command, and is waited for.
    Fetching,
    /// The kernel has answered with a request, which nobody has taken.
    Fetched,
    /// It is being carried out. So many bytes are to be read, or were to be written.
    Begun { read: u32, written: u32 },
    /// The kernel takes no more commands.
    Ended,
}

/// A device that is served.
pub(crate) struct Ublk {
    /// Unlike that of any other device of this process.
    pub(crate) serial: u64,
    /// Bytes, as the kernel knows it.
    pub(crate) size: u64,
    /// Whether it can grow while it is in use.
    pub(crate) growing: bool,
    // The ring goes first: it refers to the file.
    ring: IoUring,
    descriptors: Descriptors,
    file: OwnedFd,
    slots: Vec<Slot>,
    fetched: VecDeque<u16>,
    /// Not all answers could be passed on.
    behind: bool,
    /// It was told that it has ended.
    told: bool,
}

impl std::fmt::Debug for Ublk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ublk")
            .field("serial", &self.serial)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

impl Ublk {
    /// Serves a device from now on, on this thread.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub(crate) fn new(made: Made, serial: u64) -> std::io::Result<Self> {
        let descriptors = Descriptors::map(&made.file)?;
        // The owner enters the kernel all the time: nothing that is done needs to interrupt it.
        let ring = IoUring::builder().setup_coop_taskrun().build(u32::from(DEPTH))?;
        let mut ublk = Self {
            serial,
            size: made.size,
            growing: made.growing,
            ring,
            descriptors,
            file: made.file,
            slots: vec![Slot::Fetching; usize::from(DEPTH)],
            fetched: VecDeque::new(),
            behind: false,
            told: false,
        };
        for tag in 0..DEPTH {
            ublk.push(abi::FETCH, tag, 0);
        }
        ublk.flush()?;
        ublk.receive();
        if ublk.behind || ublk.slots.contains(&Slot::Ended) {
            return Err(std::io::Error::other("the kernel does not take all commands"));
        }
        Ok(ublk)
    }

    /// Readable when there is something to [`Self::receive`].
    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is the ring's own, which is open as long as `self` lives.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }

    /// Puts a command on the ring, for [`Self::flush`].
    fn push(&mut self, command: u32, tag: u16, result: i32) {
        let file = types::Fd(self.file.as_raw_fd());
        let entry: squeue::Entry = opcode::UringCmd16::new(file, command)
            .cmd(abi::io(tag, result))
            .build()
            .user_data(u64::from(tag));
        // SAFETY: the command has no addresses in it; its file is closed after the ring.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        // The ring has room for a command of each, and each has at most one there.
        self.slots[usize::from(tag)] = if pushed.is_ok() { Slot::Fetching } else { Slot::Ended };
    }

    /// Takes what the kernel has answered with.
    pub(crate) fn receive(&mut self) {
        for answer in self.ring.completion() {
            let Ok(tag) = u16::try_from(answer.user_data()) else { continue };
            let Some(slot) = self.slots.get_mut(usize::from(tag)) else { continue };
            // UBLK_IO_RES_OK; anything else is an error, or the device's end (UBLK_IO_RES_ABORT).
            if answer.result() == 0 {
                *slot = Slot::Fetched;
                self.fetched.push_back(tag);
            } else {
                *slot = Slot::Ended;
            }
        }
    }

    /// The next thing that was not yet told.
    pub(crate) fn next_event(&mut self) -> Option<UblkEvent> {
        while let Some(tag) = self.fetched.pop_front() {
            match self.take(tag) {
                Ok(wanted) => return Some(UblkEvent::Request { tag, wanted }),
                Err(errno) => self.push(abi::COMMIT_AND_FETCH, tag, -errno.raw_os_error()),
            }
        }
        // A device ends when nothing is under way on it any more.
        let over = !self.told && self.slots.iter().all(|slot| *slot == Slot::Ended);
        self.told |= over;
        over.then_some(UblkEvent::Gone)
    }

    /// What the request is, and its data.
    fn take(&mut self, tag: u16) -> Result<Wanted, Errno> {
        let begun = |read, written| Slot::Begun { read, written };
        let (wanted, slot) = match self.descriptors.read(tag) {
            Asked::Unknown => return Err(Errno::OPNOTSUPP),
            Asked::Bare(wanted) => {
                let read = if let Wanted::Read { len, .. } = &wanted { *len } else { 0 };
                // `decode` has seen to it that it is one.
                let read = u32::try_from(read).map_err(|_| Errno::INVAL)?;
                (wanted, begun(read, 0))
            }
            Asked::Write { offset, len, fua } => {
                let mut buffer = Buffer::new(len as usize);
                self.fetch_data(tag, &mut buffer)?;
                (Wanted::Write { offset, data: buffer.freeze(), fua }, begun(0, len))
            }
        };
        self.slots[usize::from(tag)] = slot;
        Ok(wanted)
    }

    fn fetch_data(&self, tag: u16, buffer: &mut [u8]) -> Result<(), Errno> {
        let mut done = 0;
        while done < buffer.len() {
            let at = abi::data_offset(tag) + done as u64;
            match rustix::io::pread(&self.file, &mut buffer[done..], at) {
                Ok(0) => return Err(Errno::IO),
                Ok(bytes) => done += bytes,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn give_data(&self, tag: u16, parts: &[Bytes]) -> Result<usize, Errno> {
        let mut done = 0;
        for part in parts {
            let mut left = &part[..];
            while !left.is_empty() {
                match rustix::io::pwrite(&self.file, left, abi::data_offset(tag) + done as u64) {
                    Ok(0) => return Err(Errno::IO),
                    Ok(bytes) => {
                        left = &left[bytes..];
                        done += bytes;
                    }
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
        Ok(done)
    }

    /// Answers a request. It goes out with [`Self::flush`].
    pub(crate) fn reply(&mut self, tag: u16, result: Result<Vec<Bytes>, Errno>) {
        let Some(Slot::Begun { read, written }) = self.slots.get(usize::from(tag)).copied() else { return };
        let given = result.and_then(|parts| self.give_data(tag, &parts));
        let result = match given {
            Err(errno) => -errno.raw_os_error(),
            Ok(given) if given == read as usize => {
                // At most MAX_DATA_BYTES. What has no data of its own is answered with 0, however long it was.
                i32::try_from(read.max(written)).unwrap_or(i32::MAX)
            }
            Ok(_) => -Errno::IO.raw_os_error(),
        };
        self.push(abi::COMMIT_AND_FETCH, tag, result);
    }

    /// Whether something waits to be passed on that [`Self::flush`] could not.
    pub(crate) const fn is_behind(&self) -> bool {
        self.behind
    }

    /// Passes on all answers.
    ///
    /// # Errors
    /// When the kernel does not take them.
    pub(crate) fn flush(&mut self) -> std::io::Result<()> {
        self.behind = false;
        while !self.ring.submission().is_empty() {
            match self.ring.submit().map_err(|error| (Errno::from_io_error(&error), error)) {
                Ok(passed) if passed > 0 => {}
                Err((Some(Errno::INTR), _)) => {}
                // Its answers are to be taken off first, or memory is short: a little later, then.
                Ok(_) | Err((Some(Errno::BUSY | Errno::AGAIN), _)) => {
                    self.behind = true;
                    break;
                }
                Err((_, error)) => return Err(error),
            }
        }
        Ok(())
    }
}
