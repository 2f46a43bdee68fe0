//! Handlers: commands of the admin, run beside the volume; their exit codes come back to the owner.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use replica::{Handler, NodeId};
use rustix::event::EventfdFlags;

/// What is reported of a handler that could not be run, as the shell has it.
const NOT_RUN: i32 = 127;
/// What is reported of a handler that a signal ended.
const KILLED: i32 = 128;

/// The handlers of a volume.
#[derive(Debug)]
pub(crate) struct Handlers {
    commands: BTreeMap<String, String>,
    sender: Sender<(Handler, i32)>,
    ended: Receiver<(Handler, i32)>,
    wake: OwnedFd,
}

/// A handler's name as DRBD has it.
#[must_use]
pub(crate) const fn name(handler: Handler) -> &'static str {
    match handler {
        Handler::FencePeer(_) => "fence-peer",
        Handler::UnfencePeer(_) => "unfence-peer",
        Handler::BeforeResyncTarget(_) => "before-resync-target",
        Handler::AfterResyncTarget(_) => "after-resync-target",
        Handler::SplitBrain(_) => "split-brain",
        Handler::PriLostAfterSb(_) => "pri-lost-after-sb",
        Handler::LocalIoError => "local-io-error",
    }
}

/// The peer that it is about.
#[must_use]
pub(crate) const fn peer(handler: Handler) -> Option<NodeId> {
    match handler {
        Handler::FencePeer(peer)
        | Handler::UnfencePeer(peer)
        | Handler::BeforeResyncTarget(peer)
        | Handler::AfterResyncTarget(peer)
        | Handler::SplitBrain(peer)
        | Handler::PriLostAfterSb(peer) => Some(peer),
        Handler::LocalIoError => None,
    }
}

impl Handlers {
    /// With these commands, by the handlers' names.
    ///
    /// # Errors
    /// When the process may not have another descriptor.
    pub(crate) fn new(commands: BTreeMap<String, String>) -> std::io::Result<Self> {
        let wake = rustix::event::eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let (sender, ended) = channel();
        Ok(Self { commands, sender, ended, wake })
    }

    /// Runs one, with these variables in its environment. One without a command has succeeded at doing nothing.
    pub(crate) fn run(&self, handler: Handler, environment: Vec<(&'static str, String)>) {
        let Some(command) = self.commands.get(name(handler)).cloned() else {
            return self.report(handler, 0);
        };
        let sender = self.sender.clone();
        let wake = self.wake.try_clone();
        let wait = move || {
            let status =
                Command::new("sh").args(["-c", &command]).envs(environment).stdin(Stdio::null()).status();
            let code = status.map_or(NOT_RUN, |status| status.code().unwrap_or(KILLED));
            // Without the owner nobody wants to know.
            let _ = sender.send((handler, code));
            if let Ok(wake) = wake {
                let _ = rustix::io::write(&wake, &1_u64.to_ne_bytes());
            }
        };
        let started = std::thread::Builder::new().name(format!("handler {}", name(handler))).spawn(wait);
        if started.is_err() {
            self.report(handler, NOT_RUN);
        }
    }

    fn report(&self, handler: Handler, code: i32) {
        // The receiving end is in the same struct; and a full counter is readable too.
        let _ = self.sender.send((handler, code));
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Readable when a handler has ended.
    #[must_use]
    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Those that have ended since the last time.
    pub(crate) fn ended(&self) -> Vec<(Handler, i32)> {
        let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
        self.ended.try_iter().collect()
    }
}
