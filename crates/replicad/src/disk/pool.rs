//! The backend where io_uring is not to be had: a pool of threads that read and write one request at a time each.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::job::{Done, Job};
use super::store::Store;
use crate::buffer::Buffer;

/// Threads, and so requests in flight on the device.
const THREADS: usize = 16;
/// Zeroes written at a time where the device cannot zero by itself, in bytes.
const ZEROES_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
struct Queues {
    jobs: VecDeque<(u64, Job)>,
    done: Vec<Done>,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    queues: Mutex<Queues>,
    work: Condvar,
    wake: OwnedFd,
}

/// The pool.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    staged: VecDeque<(u64, Job)>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts the threads. `wake` is an eventfd that is written whenever something is done.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub(super) fn new(store: Arc<Store>, wake: OwnedFd) -> std::io::Result<Self> {
        let queues = Mutex::new(Queues::default());
        let shared = Arc::new(Shared { store, queues, work: Condvar::new(), wake });
        let mut pool = Self { shared, staged: VecDeque::new(), threads: Vec::new() };
        for number in 0..THREADS {
            let shared = Arc::clone(&pool.shared);
            let name = format!("disk-{number}");
            pool.threads.push(std::thread::Builder::new().name(name).spawn(move || work(&shared))?);
        }
        Ok(pool)
    }

    /// Takes a job; it begins with the next [`Self::kick`].
    pub(super) fn submit(&mut self, token: u64, job: Job) {
        self.staged.push_back((token, job));
    }

    /// Begins what was submitted.
    pub(super) fn kick(&mut self) {
        if self.staged.is_empty() {
            return;
        }
        let jobs = self.staged.len();
        lock(&self.shared.queues).jobs.append(&mut self.staged);
        if jobs == 1 { self.shared.work.notify_one() } else { self.shared.work.notify_all() }
    }

    /// What is done since the last time.
    pub(super) fn collect(&mut self, done: &mut Vec<Done>) {
        done.append(&mut lock(&self.shared.queues).done);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.shared.queues).closed = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // A thread ends by itself; one that panicked has nothing more to do either.
            let _ = thread.join();
        }
    }
}

/// No thread panics while it holds the lock, and what is in the queues is whole at any time.
fn lock(queues: &Mutex<Queues>) -> std::sync::MutexGuard<'_, Queues> {
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(shared: &Shared) {
    let mut queues = lock(&shared.queues);
    loop {
        let Some((token, job)) = queues.jobs.pop_front() else {
            if queues.closed {
                return;
            }
            queues = shared.work.wait(queues).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(queues);
        let result = carry_out(&shared.store, job);
        queues = lock(&shared.queues);
        queues.done.push(Done { token, result });
        // It can only fail when the counter is full, and then the owner is awake anyway.
        let _ = rustix::io::write(&shared.wake, &1_u64.to_ne_bytes());
    }
}

fn carry_out(store: &Store, job: Job) -> std::io::Result<Option<Buffer>> {
    match job {
        Job::Read { offset, mut buffer } => {
            store.file_for(offset, buffer.len() as u64).read_exact_at(&mut buffer, offset)?;
            Ok(Some(buffer))
        }
        Job::Write { offset, data } => {
            store.file_for(offset, data.len() as u64).write_all_at(&data, offset).map(|()| None)
        }
        Job::Zero { offset, len, may_trim } => zero(store, offset, len, may_trim).map(|()| None),
        Job::Sync => store.file().sync_data().map(|()| None),
    }
}

/// How the kernel is asked for zeroes.
#[must_use]
pub(super) fn zero_flags(may_trim: bool) -> FallocateFlags {
    if may_trim {
        FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE
    } else {
        FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE
    }
}

fn zero(store: &Store, offset: u64, len: u64, may_trim: bool) -> std::io::Result<()> {
    match rustix::fs::fallocate(store.file(), zero_flags(may_trim), offset, len) {
        Ok(()) => return Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    let zeroes = Buffer::zeroes(ZEROES_BYTES);
    let mut at = 0;
    while at < len {
        let piece = (len - at).min(ZEROES_BYTES as u64);
        // At most ZEROES_BYTES.
        let data = &zeroes[..usize::try_from(piece).unwrap_or(ZEROES_BYTES)];
        store.file_for(offset + at, piece).write_all_at(data, offset + at)?;
        at += piece;
    }
    Ok(())
}
