//! The volume's side of the control socket. It reads and writes lines; what they mean is the volume's matter.

use std::collections::{HashMap, VecDeque};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::protocol::{Outcome, PROTOCOL_VERSION, Reply, Request, Verb};
use crate::listener::{ListenError, Listener};
use crate::outqueue::OutQueue;
use crate::poll::{Interest, Poller, Ready};

/// Longest request line in bytes.
const MAX_LINE_BYTES: usize = 16 * 1024;
/// Callers at a time.
const MAX_CALLERS: usize = 64;
/// What may wait for a listener to events; one that is slower is dropped, in bytes.
const MAX_WAITING_BYTES: usize = 1 << 20;

/// A caller orders something.
#[derive(Debug)]
pub(crate) struct ControlEvent {
    /// Who.
    pub(crate) caller: u64,
    /// What.
    pub(crate) verb: Verb,
}

#[derive(Debug)]
struct Caller {
    stream: UnixStream,
    input: Vec<u8>,
    out: OutQueue,
    /// It wants to hear of everything.
    listens: bool,
}

/// The server.
#[derive(Debug)]
pub(crate) struct ControlServer {
    listener: Listener,
    callers: HashMap<u64, Caller>,
    next_token: u64,
    base: u64,
    /// What was ordered and was not yet told.
    pub(crate) events: VecDeque<ControlEvent>,
}

impl ControlServer {
    /// Listens.
    ///
    /// # Errors
    /// When the socket cannot be made, or another process has it.
    pub(crate) fn new(path: &Path, (poller, base): (&mut Poller, u64)) -> Result<Self, ListenError> {
        Ok(Self {
            listener: Listener::new(path, (poller, base))?,
            callers: HashMap::new(),
            next_token: 0,
            base,
            events: VecDeque::new(),
        })
    }

    /// Goes on with what is ready.
    pub(crate) fn ready(&mut self, ready: Ready, poller: &mut Poller) {
        let token = ready.token - self.base;
        if token == 0 {
            return self.accept(poller);
        }
        if ready.read && !self.receive(token) {
            return self.close(token, poller);
        }
        self.flush_one(token, poller);
    }

    fn accept(&mut self, poller: &mut Poller) {
        while let Some(stream) = self.listener.accept() {
            if self.callers.len() >= MAX_CALLERS {
                continue;
            }
            let caller = Caller { stream, input: Vec::new(), out: OutQueue::default(), listens: false };
            self.next_token += 1;
            self.callers.insert(self.next_token, caller);
            self.flush_one(self.next_token, poller);
        }
    }

    fn receive(&mut self, token: u64) -> bool {
        let Some(caller) = self.callers.get_mut(&token) else { return false };
        let mut piece = [0; 4096];
        match rustix::io::read(&caller.stream, &mut piece) {
            Ok(0) => return false,
            Ok(bytes) => caller.input.extend_from_slice(&piece[..bytes]),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return true,
            Err(_) => return false,
        }
        while let Some(end) = caller.input.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = caller.input.drain(..=end).collect();
            let refusal = match serde_json::from_slice::<Request>(&line) {
                Ok(request) if request.version == PROTOCOL_VERSION => {
                    self.events.push_back(ControlEvent { caller: token, verb: request.verb });
                    continue;
                }
                Ok(request) => format!(
                    "version {} of the protocol is not known here, only {PROTOCOL_VERSION}",
                    request.version
                ),
                Err(error) => format!("this is no request: {error}"),
            };
            put(caller, &Reply::new(Outcome::Failed, Some(refusal)));
        }
        caller.input.len() <= MAX_LINE_BYTES
    }

    /// Answers a caller.
    pub(crate) fn reply(&mut self, caller: u64, reply: &Reply) {
        if let Some(caller) = self.callers.get_mut(&caller) {
            put(caller, reply);
        }
    }

    /// From now on the caller hears of everything; first of how it is.
    pub(crate) fn listens(&mut self, caller: u64, status: &serde_json::Value) {
        if let Some(caller) = self.callers.get_mut(&caller) {
            caller.listens = true;
            put(caller, status);
        }
    }

    /// Tells all who listen.
    pub(crate) fn tell(&mut self, event: &serde_json::Value) {
        for caller in self.callers.values_mut().filter(|caller| caller.listens) {
            put(caller, event);
        }
    }

    /// Sends everything.
    pub(crate) fn flush(&mut self, poller: &mut Poller) {
        let waiting: Vec<u64> = self
            .callers
            .iter()
            .filter(|(_, caller)| !caller.out.is_empty())
            .map(|(token, _)| *token)
            .collect();
        for token in waiting {
            self.flush_one(token, poller);
        }
    }

    fn flush_one(&mut self, token: u64, poller: &mut Poller) {
        let Some(caller) = self.callers.get_mut(&token) else { return };
        let written = caller.out.write_to(&caller.stream);
        let interest = Interest { read: true, write: !caller.out.is_empty() };
        let keeps_up = caller.out.len() <= MAX_WAITING_BYTES;
        if written.is_err() || !keeps_up || poller.watch(&caller.stream, self.base + token, interest).is_err()
        {
            self.close(token, poller);
        }
    }

    fn close(&mut self, token: u64, poller: &mut Poller) {
        if let Some(caller) = self.callers.remove(&token) {
            poller.forget(caller.stream.as_fd());
        }
    }
}

fn put(caller: &mut Caller, line: &impl serde::Serialize) {
    // These types always have a JSON form.
    if let Ok(mut line) = serde_json::to_vec(line) {
        line.push(b'\n');
        caller.out.extend(&line);
    }
}
