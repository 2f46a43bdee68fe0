//! The backend on io_uring: everything in flight at once, one system call for all that was submitted.
//!
//! The buffers of a request live in the table of what is in flight until the kernel has answered for it, and the table
//! is emptied before the ring goes away: that is what makes handing out their addresses sound.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use io_uring::{IoUring, opcode, squeue, types};
use rustix::io::Errno;

use super::job::{Done, Job};
use super::pool::zero_flags;
use super::store::Store;
use crate::buffer::Buffer;

/// Requests in flight at most; the completion queue has room for twice as many, so none is ever lost.
const ENTRIES: u32 = 256;

#[derive(Debug)]
struct InFlight {
    job: Job,
    /// Bytes of it that are done: the kernel may do less than was asked.
    done: usize,
}

/// The ring.
pub(super) struct Ring {
    store: Arc<Store>,
    ring: IoUring,
    waiting: VecDeque<(u64, InFlight)>,
    in_flight: HashMap<u64, InFlight>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("in_flight", &self.in_flight.len()).finish_non_exhaustive()
    }
}

impl Ring {
    /// A ring.
    ///
    /// # Errors
    /// When the kernel has no io_uring, lacks one of the operations, or does not allow it.
    pub(super) fn new(store: Arc<Store>) -> std::io::Result<Self> {
        // The owner enters the kernel all the time: nothing that is done needs to interrupt it. Older kernels know
        // only the other way.
        let ring =
            IoUring::builder().setup_coop_taskrun().build(ENTRIES).or_else(|_| IoUring::new(ENTRIES))?;
        let mut probe = io_uring::Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let needed = [opcode::Read::CODE, opcode::Write::CODE, opcode::Fsync::CODE, opcode::Fallocate::CODE];
        if !needed.into_iter().all(|code| probe.is_supported(code)) {
            return Err(std::io::ErrorKind::Unsupported.into());
        }
        Ok(Self { store, ring, waiting: VecDeque::new(), in_flight: HashMap::new() })
    }

    /// Readable as long as something is done that was not collected.
    #[must_use]
    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is the ring's own, which is open as long as `self` lives.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }

    /// Takes a job; it begins with the next [`Self::kick`].
    pub(super) fn submit(&mut self, token: u64, job: Job) {
        self.waiting.push_back((token, InFlight { job, done: 0 }));
    }

    /// Begins what was submitted, as far as the ring has room.
    ///
    /// # Errors
    /// When the kernel refuses everything.
    pub(super) fn kick(&mut self) -> std::io::Result<()> {
        let mut pushed = false;
        while self.in_flight.len() < ENTRIES as usize {
            let Some((token, work)) = self.waiting.pop_front() else { break };
            // Entered first: the addresses in the request are those of the buffers, which do not move with it.
            let mut work = self.in_flight.entry(token).insert_entry(work);
            let request = request(&self.store, token, work.get_mut());
            // SAFETY: the request's buffer is owned by `in_flight` until the completion with its token was taken off
            // the queue (`collect`), or the ring is drained (`drop`); its file lives in `store`, which outlives the ring.
            let full = unsafe { self.ring.submission().push(&request) }.is_err();
            if full {
                let (token, work) = work.remove_entry();
                self.waiting.push_front((token, work));
                break;
            }
            pushed = true;
        }
        if pushed { self.enter(0) } else { Ok(()) }
    }

    fn enter(&self, wait_for: usize) -> std::io::Result<()> {
        loop {
            match self.ring.submit_and_wait(wait_for) {
                Ok(_) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                // The completion queue is full, or memory is short: what is there is taken off first.
                Err(error)
                    if [Errno::BUSY, Errno::AGAIN]
                        .iter()
                        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What is done since the last time.
    pub(super) fn collect(&mut self, done: &mut Vec<Done>) {
        let answers: Vec<(u64, i32)> =
            self.ring.completion().map(|answer| (answer.user_data(), answer.result())).collect();
        for (token, answer) in answers {
            let Some(work) = self.in_flight.remove(&token) else { continue };
            match settle(work, answer) {
                Settled::Over(result) => done.push(Done { token, result }),
                Settled::Again(work) => self.waiting.push_front((token, work)),
            }
        }
    }

    /// Whether anything waits for room in the ring.
    #[must_use]
    pub(super) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.waiting.clear();
        let mut ignored = Vec::new();
        while !self.in_flight.is_empty() {
            if self.enter(1).is_err() {
                // The kernel may still write to the buffers: they are given up, never freed.
                std::mem::forget(std::mem::take(&mut self.in_flight));
                return;
            }
            self.collect(&mut ignored);
            self.waiting.clear();
        }
    }
}

enum Settled {
    Over(std::io::Result<Option<Buffer>>),
    /// Not all of it was done, or not in this way.
    Again(InFlight),
}

fn settle(mut work: InFlight, answer: i32) -> Settled {
    if answer < 0 {
        let errno = Errno::from_raw_os_error(-answer);
        return match (errno, &work.job) {
            (Errno::INTR | Errno::AGAIN, _) => Settled::Again(work),
            (Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL, Job::Zero { offset, len, .. }) => {
                // The device cannot zero by itself. A request of the engine is never larger than memory.
                let zeroes = Buffer::zeroes(usize::try_from(*len).unwrap_or(0)).freeze();
                Settled::Again(InFlight { job: Job::Write { offset: *offset, data: zeroes }, done: 0 })
            }
            _ => Settled::Over(Err(errno.into())),
        };
    }
    let wanted = match &work.job {
        Job::Read { buffer, .. } => buffer.len(),
        Job::Write { data, .. } => data.len(),
        Job::Zero { .. } | Job::Sync => return Settled::Over(Ok(None)),
    };
    // Not negative: seen above.
    let moved = usize::try_from(answer).unwrap_or(0);
    work.done += moved;
    if work.done >= wanted {
        return Settled::Over(Ok(match work.job {
            Job::Read { buffer, .. } => Some(buffer),
            _ => None,
        }));
    }
    if moved == 0 {
        return Settled::Over(Err(std::io::ErrorKind::UnexpectedEof.into()));
    }
    Settled::Again(work)
}

fn request(store: &Store, token: u64, work: &mut InFlight) -> squeue::Entry {
    let fd = |file: &std::fs::File| -> RawFd { file.as_raw_fd() };
    // Requests are at most a few MiB.
    let length = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let done = work.done;
    let entry = match &mut work.job {
        Job::Read { offset, buffer } => {
            let left = &mut buffer[done..];
            let offset = *offset + done as u64;
            let file = store.file_for(offset, left.len() as u64);
            opcode::Read::new(types::Fd(fd(file)), left.as_mut_ptr(), length(left.len()))
                .offset(offset)
                .build()
        }
        Job::Write { offset, data } => {
            let left = &data[done..];
            let offset = *offset + done as u64;
            let file = store.file_for(offset, left.len() as u64);
            opcode::Write::new(types::Fd(fd(file)), left.as_ptr(), length(left.len())).offset(offset).build()
        }
        Job::Zero { offset, len, may_trim } => {
            let mode = zero_flags(*may_trim).bits().cast_signed();
            opcode::Fallocate::new(types::Fd(fd(store.file())), *len).offset(*offset).mode(mode).build()
        }
        Job::Sync => {
            opcode::Fsync::new(types::Fd(fd(store.file()))).flags(types::FsyncFlags::DATASYNC).build()
        }
    };
    entry.user_data(token)
}
