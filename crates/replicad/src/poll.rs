//! Readiness of file descriptors (epoll), each known by a token.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// Events taken at a time.
const EVENTS: usize = 64;

/// What a descriptor is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Interest {
    /// There is something to read.
    pub(crate) read: bool,
    /// There is room to write.
    pub(crate) write: bool,
}

impl Interest {
    /// Only reading.
    pub(crate) const READ: Self = Self { read: true, write: false };

    fn flags(self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, self.read);
        flags.set(EventFlags::OUT, self.write);
        flags
    }
}

/// A descriptor is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Which.
    pub(crate) token: u64,
    /// It can be read, or has an error or an end to be read.
    pub(crate) read: bool,
    /// It can be written.
    pub(crate) write: bool,
}

/// A set of watched descriptors. Each is to be forgotten before it is closed.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    watched: HashMap<RawFd, (u64, Interest)>,
}

impl Poller {
    /// An empty one.
    ///
    /// # Errors
    /// When the process may not have another descriptor.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, watched: HashMap::new() })
    }

    /// Watches a descriptor, or changes what it is watched for; costs nothing when nothing changes.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub(crate) fn watch(&mut self, fd: impl AsFd, token: u64, interest: Interest) -> std::io::Result<()> {
        let fd = fd.as_fd();
        match self.watched.insert(fd.as_raw_fd(), (token, interest)) {
            Some(before) if before == (token, interest) => Ok(()),
            Some(_) => Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(token), interest.flags())?),
            None => Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token), interest.flags())?),
        }
    }

    /// Watches it no more.
    pub(crate) fn forget(&mut self, fd: BorrowedFd<'_>) {
        if self.watched.remove(&fd.as_raw_fd()).is_some() {
            // It fails only for what is not watched.
            let _ = epoll::delete(&self.epoll, fd);
        }
    }

    /// Waits until something is ready, or so long; none: as long as it takes.
    ///
    /// # Errors
    /// When waiting is not possible.
    pub(crate) fn wait(&self, wait: Option<Duration>, ready: &mut Vec<Ready>) -> std::io::Result<()> {
        ready.clear();
        let wait = wait.map(|wait| Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        });
        let mut events = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.extend(events.iter().map(|event| {
            let flags = event.flags;
            Ready {
                token: event.data.u64(),
                read: flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR),
                write: flags.intersects(EventFlags::OUT | EventFlags::ERR),
            }
        }));
        Ok(())
    }
}
