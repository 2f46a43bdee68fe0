//! The NBD export on a unix socket: clients, their requests, and the replies.
//!
//! In: bytes of clients, answers to their requests. Out: [`ClientEvent`]s. A client that does not take its replies is not
//! read from until it does; nobody is read from while too much is under way.

use std::collections::{HashMap, VecDeque};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use bytes::Bytes;
use nbd::{
    BlockSizes, Command, Errno, Event, Export, Exports, Extent, Features, Request, Session, TlsPolicy,
};

use crate::buffer::Buffer;
use crate::listener::{ListenError, Listener};
use crate::outqueue::OutQueue;
use crate::poll::{Interest, Poller, Ready};

/// Bytes read at a time.
const READ_BYTES: usize = 256 * 1024;
/// Replies that wait for a client before it is not read from any more, in bytes.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// Clients at a time.
const MAX_CLIENTS: usize = 256;
/// Most data of one request that clients are told of, in bytes.
const MAX_DATA_BYTES: u32 = 32 << 20;
/// What requests should be multiples of, in bytes.
const PREFERRED_BYTES: u32 = 4096;

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket cannot be made.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The volume cannot be exported.
    #[error("the volume cannot be exported")]
    Export(#[from] nbd::ExportError),
}

/// Something a client did.
#[derive(Debug)]
pub(crate) enum ClientEvent {
    /// It opened the volume.
    Opened {
        /// Who it is, for people.
        holder: String,
    },
    /// It is gone.
    Closed {
        /// Who it was.
        holder: String,
    },
    /// It wants something.
    Request {
        /// Which client.
        client: u64,
        /// What.
        request: Request,
        /// The data of a write.
        data: Bytes,
    },
}

struct Client {
    stream: UnixStream,
    session: Session,
    out: OutQueue,
    /// A write whose data arrives.
    payload: Option<(Request, Buffer, usize)>,
    holder: Option<String>,
    /// It was connected by this process.
    own: bool,
    /// Requests under way.
    under_way: usize,
    /// It said goodbye: it is closed when all is answered.
    ended: bool,
}

/// Which process has connected; 0: it cannot be told.
fn peer_process(stream: &UnixStream) -> i32 {
    rustix::net::sockopt::socket_peercred(stream)
        .map_or(0, |credentials| credentials.pid.as_raw_nonzero().get())
}

/// The server.
pub(crate) struct Server {
    listener: Listener,
    export: Option<(String, Export)>,
    clients: HashMap<u64, Client>,
    next_token: u64,
    base: u64,
    paused: bool,
    /// What happened and was not yet told.
    pub(crate) events: VecDeque<ClientEvent>,
    scratch: Vec<u8>,
}

impl Server {
    /// Listens. Nothing can be opened before [`Self::set_export`].
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub(crate) fn new(path: &Path, (poller, base): (&mut Poller, u64)) -> Result<Self, ListenError> {
        Ok(Self {
            listener: Listener::new(path, (poller, base))?,
            export: None,
            clients: HashMap::new(),
            next_token: 0,
            base,
            paused: false,
            events: VecDeque::new(),
            scratch: vec![0; READ_BYTES],
        })
    }

    /// From now on clients can open a volume of so many bytes.
    ///
    /// # Errors
    /// When the size cannot be exported.
    pub(crate) fn set_export(&mut self, name: &str, size: u64, minimum: u32) -> Result<(), ServeError> {
        let blocks = BlockSizes::new(minimum, PREFERRED_BYTES, MAX_DATA_BYTES)?;
        let features = Features {
            flush: true,
            fua: true,
            trim: true,
            write_zeroes: true,
            // A flush covers all that was answered, whoever asked.
            multi_conn: true,
            allocation: true,
            ..Features::default()
        };
        self.export = Some((name.to_owned(), Export::new(size, blocks, features)?));
        Ok(())
    }

    /// The kernel, where it is a client for this process, does not connect anew to learn the size.
    ///
    /// # Errors
    /// When the volume cannot have that size.
    pub(crate) fn resize_own(&mut self, size: u64) -> Result<(), ServeError> {
        for client in self.clients.values_mut().filter(|client| client.own) {
            client.session.resize(size)?;
        }
        Ok(())
    }

    /// Whether this process is a client of its own: for the kernel.
    pub(crate) fn has_own(&self) -> bool {
        self.clients.values().any(|client| client.own)
    }

    /// From now on nobody can open it. Who has it open keeps it.
    pub(crate) fn withdraw(&mut self) {
        self.export = None;
    }

    fn exports(&self) -> Exports {
        let one = self.export.iter().cloned();
        // One export with a name that was checked: neither can be wrong.
        let exports = Exports::new(one).unwrap_or_default();
        match &self.export {
            Some((name, _)) => exports.clone().with_default(name.clone()).unwrap_or(exports),
            None => exports,
        }
    }

    /// Reads from nobody, or from all again.
    pub(crate) fn pause(&mut self, paused: bool, poller: &mut Poller) {
        if std::mem::replace(&mut self.paused, paused) != paused {
            for token in self.clients.keys().copied().collect::<Vec<_>>() {
                self.watch(token, poller);
            }
        }
    }

    /// Goes on with what is ready.
    pub(crate) fn ready(&mut self, ready: Ready, poller: &mut Poller) {
        let token = ready.token - self.base;
        if token == 0 {
            return self.accept(poller);
        }
        if ready.write && !self.write(token) {
            return self.close(token, poller);
        }
        if ready.read && !self.receive(token) {
            return self.close(token, poller);
        }
        self.watch(token, poller);
    }

    fn accept(&mut self, poller: &mut Poller) {
        while let Some(stream) = self.listener.accept() {
            if self.clients.len() >= MAX_CLIENTS {
                continue;
            }
            let own = peer_process(&stream) == std::process::id().cast_signed();
            let mut greeting = Vec::new();
            let session = Session::new(self.exports(), TlsPolicy::Unsupported, &mut greeting);
            let mut out = OutQueue::default();
            out.extend(&greeting);
            let client =
                Client { stream, session, out, payload: None, holder: None, own, under_way: 0, ended: false };
            self.next_token += 1;
            self.clients.insert(self.next_token, client);
            self.flush_one(self.next_token, poller);
        }
    }

    fn watch(&mut self, token: u64, poller: &mut Poller) {
        let Some(client) = self.clients.get(&token) else { return };
        let read = !self.paused && !client.ended && client.out.len() < MAX_WAITING_BYTES;
        let interest = Interest { read, write: !client.out.is_empty() };
        if poller.watch(&client.stream, self.base + token, interest).is_err() {
            self.close(token, poller);
        }
    }

    /// Writes what waits. Whether the client is still there.
    fn write(&mut self, token: u64) -> bool {
        let Some(client) = self.clients.get_mut(&token) else { return false };
        match client.out.write_to(&client.stream) {
            Ok(all) => !(all && client.ended && client.under_way == 0),
            Err(_) => false,
        }
    }

    fn flush_one(&mut self, token: u64, poller: &mut Poller) {
        if self.write(token) { self.watch(token, poller) } else { self.close(token, poller) }
    }

    /// Sends all replies.
    pub(crate) fn flush(&mut self, poller: &mut Poller) {
        let waiting = |client: &Client| !client.out.is_empty() || (client.ended && client.under_way == 0);
        let tokens: Vec<u64> =
            self.clients.iter().filter(|(_, client)| waiting(client)).map(|(token, _)| *token).collect();
        for token in tokens {
            self.flush_one(token, poller);
        }
    }

    fn close(&mut self, token: u64, poller: &mut Poller) {
        let Some(client) = self.clients.remove(&token) else { return };
        poller.forget(client.stream.as_fd());
        if let Some(holder) = client.holder {
            self.events.push_back(ClientEvent::Closed { holder });
        }
    }

    /// Reads once. Whether the client is still there.
    fn receive(&mut self, token: u64) -> bool {
        let Some(client) = self.clients.get_mut(&token) else { return false };
        // A large write's data goes straight to where it belongs.
        if let Some((_, buffer, filled)) = &mut client.payload
            && buffer.len() - *filled >= READ_BYTES / 4
        {
            let read = rustix::io::read(&client.stream, &mut buffer[*filled..]);
            return match read {
                Ok(0) => false,
                Ok(bytes) => {
                    *filled += bytes;
                    // At most what is left of a request's length.
                    client.session.payload_taken(u32::try_from(bytes).unwrap_or(u32::MAX));
                    self.complete(token);
                    true
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => true,
                Err(_) => false,
            };
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let alive = match rustix::io::read(&client.stream, &mut scratch[..]) {
            Ok(0) => false,
            Ok(bytes) => self.take(token, &scratch[..bytes]),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => true,
            Err(_) => false,
        };
        self.scratch = scratch;
        alive
    }

    fn take(&mut self, token: u64, mut input: &[u8]) -> bool {
        let mut replies = Vec::new();
        while !input.is_empty() {
            let Some(client) = self.clients.get_mut(&token) else { return false };
            let Ok(step) = client.session.receive(input, &mut replies) else {
                client.out.extend(&replies);
                return false;
            };
            input = &input[step.consumed..];
            match step.event {
                Some(Event::Opened) => {
                    let holder = match client.own {
                        true => "the block device".to_owned(),
                        false => format!("NBD client {token} (process {})", peer_process(&client.stream)),
                    };
                    client.holder = Some(holder.clone());
                    self.events.push_back(ClientEvent::Opened { holder });
                }
                Some(Event::Request(request)) => {
                    client.under_way += 1;
                    match request.command {
                        Command::Write { length, .. } => {
                            // At most MAX_DATA_BYTES.
                            let buffer = Buffer::new(length as usize);
                            client.payload = Some((request, buffer, 0));
                        }
                        _ => self.events.push_back(ClientEvent::Request {
                            client: token,
                            request,
                            data: Bytes::new(),
                        }),
                    }
                }
                Some(Event::Payload { data, .. }) => {
                    if let Some((_, buffer, filled)) = &mut client.payload {
                        buffer[*filled..*filled + data.len()].copy_from_slice(data);
                        *filled += data.len();
                    }
                    self.complete(token);
                }
                Some(Event::Ended(_)) => client.ended = true,
                Some(Event::StartTls | Event::Refused { .. }) | None => {}
            }
        }
        if let Some(client) = self.clients.get_mut(&token) {
            client.out.extend(&replies);
        }
        true
    }

    /// A write whose data is all there becomes a request.
    fn complete(&mut self, token: u64) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        if let Some((request, buffer, _)) =
            client.payload.take_if(|(_, buffer, filled)| *filled == buffer.len())
        {
            self.events.push_back(ClientEvent::Request { client: token, request, data: buffer.freeze() });
        }
    }

    /// Answers what is allocated where; without any extent, everything is. It goes out with [`Self::flush`].
    pub(crate) fn allocation(&mut self, client: u64, request: &Request, extents: &[Extent]) {
        let Some(client) = self.clients.get_mut(&client) else { return };
        client.under_way = client.under_way.saturating_sub(1);
        let mut reply = Vec::new();
        // Anything but a question for this gets an answer that says so.
        if client.session.replies().block_status(request, extents, &mut reply).is_err() {
            client.session.replies().fail(
                request,
                Errno::Inval,
                "no question of what is allocated",
                &mut reply,
            );
        }
        client.out.extend(&reply);
    }

    /// Answers a request. It goes out with [`Self::flush`].
    pub(crate) fn reply(
        &mut self,
        client: u64,
        request: &Request,
        result: Result<Vec<Bytes>, (Errno, &str)>,
    ) {
        let Some(client) = self.clients.get_mut(&client) else { return };
        client.under_way = client.under_way.saturating_sub(1);
        let replies = client.session.replies();
        let mut head = Vec::new();
        match (result, request.command) {
            (Ok(parts), Command::Read { offset, length, .. }) => {
                replies.read_header(request.cookie, offset, length, &mut head);
                client.out.extend(&head);
                for part in parts {
                    client.out.push(part);
                }
            }
            (Ok(_), _) => {
                replies.done(request, &mut head);
                client.out.extend(&head);
            }
            (Err((errno, message)), _) => {
                replies.fail(request, errno, message, &mut head);
                client.out.extend(&head);
            }
        }
    }
}
