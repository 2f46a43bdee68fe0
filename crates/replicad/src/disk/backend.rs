//! Which of the two backends carries out the requests, and the descriptor that tells when something is done.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::EventfdFlags;

use super::job::{Done, Job};
use super::pool::Pool;
use super::store::Store;
use super::uring::Ring;

/// Which backend is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// io_uring where it is to be had, else threads.
    #[default]
    Auto,
    /// io_uring, or nothing.
    IoUring,
    /// Threads.
    Threads,
}

#[derive(Debug)]
enum Kind {
    Ring(Box<Ring>),
    /// The threads, and the eventfd that they write to.
    Pool(Pool, OwnedFd),
}

/// The backend in use.
#[derive(Debug)]
pub(super) struct Backend {
    kind: Kind,
}

impl Backend {
    /// Starts one.
    ///
    /// # Errors
    /// When the one that is wanted is not to be had.
    pub(super) fn new(choice: Choice, store: &Arc<Store>) -> std::io::Result<Self> {
        let ring = || Ring::new(Arc::clone(store)).map(|ring| Kind::Ring(Box::new(ring)));
        let pool = || -> std::io::Result<Kind> {
            let wake = rustix::event::eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
            Ok(Kind::Pool(Pool::new(Arc::clone(store), wake.try_clone()?)?, wake))
        };
        let kind = match choice {
            Choice::IoUring => ring()?,
            Choice::Threads => pool()?,
            Choice::Auto => ring().or_else(|_| pool())?,
        };
        Ok(Self { kind })
    }

    /// Its name, for status.
    #[must_use]
    pub(super) const fn name(&self) -> &'static str {
        match self.kind {
            Kind::Ring(_) => "io-uring",
            Kind::Pool(..) => "threads",
        }
    }

    /// Takes a job; it begins with the next [`Self::kick`].
    pub(super) fn submit(&mut self, token: u64, job: Job) {
        match &mut self.kind {
            Kind::Ring(ring) => ring.submit(token, job),
            Kind::Pool(pool, _) => pool.submit(token, job),
        }
    }

    /// Begins what was submitted.
    ///
    /// # Errors
    /// When nothing can be begun any more.
    pub(super) fn kick(&mut self) -> std::io::Result<()> {
        match &mut self.kind {
            Kind::Ring(ring) => ring.kick(),
            Kind::Pool(pool, _) => {
                pool.kick();
                Ok(())
            }
        }
    }

    /// What is done since the last time; what waited for room goes on with the next [`Self::kick`].
    pub(super) fn collect(&mut self, done: &mut Vec<Done>) {
        match &mut self.kind {
            Kind::Ring(ring) => ring.collect(done),
            Kind::Pool(pool, _) => pool.collect(done),
        }
    }

    /// Whether [`Self::kick`] has something to do.
    #[must_use]
    pub(super) fn is_behind(&self) -> bool {
        match &self.kind {
            Kind::Ring(ring) => ring.is_behind(),
            Kind::Pool(..) => false,
        }
    }

    /// Readable when something is done. [`Self::rest`] and [`Self::collect`] make it unreadable again.
    #[must_use]
    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Ring(ring) => ring.wake(),
            Kind::Pool(_, wake) => wake.as_fd(),
        }
    }

    /// Takes note of the wake-up; to be called before [`Self::collect`].
    pub(super) fn rest(&self) {
        if let Kind::Pool(_, wake) = &self.kind {
            // Nothing to read is as good.
            let _ = rustix::io::read(wake, &mut [0_u8; 8]);
        }
    }
}
