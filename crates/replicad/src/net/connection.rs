//! One TCP connection of a peer, from the first byte to the last.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use replica::NodeId;
use replica::wire::Channel;
use replica_link::{HANDSHAKE_TIMEOUT, Handshake, Link, LinkError, Opener, Sealer, SessionId};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::outqueue::OutQueue;
use crate::poll::Interest;

/// How long a connection that is being closed may take to bring what was sent to the other side.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(2);

/// How far a connection is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Dialled: it is there once it can be written.
    Connecting { channel: Channel },
    /// Finding out who is there.
    Handshake(Box<Handshake>),
    /// The other end is known; the other connection of the pair is awaited.
    Waiting(Box<Link>),
    /// In use.
    Up { peer: NodeId, channel: Channel, sealer: Box<Sealer>, opener: Box<Opener> },
    /// What is to be sent still is, then it is closed.
    Closing { said_so: bool },
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) out: OutQueue,
    pub(super) phase: Phase,
    /// When it is given up unless it goes on.
    pub(super) deadline: Option<Instant>,
    /// The other side says no more on it.
    pub(super) ended: bool,
    /// Whom it was dialled for, and in which attempt.
    pub(super) dialled: Option<(NodeId, SessionId)>,
}

impl Connection {
    /// Begins to dial. The own address is bound to, so that the packets take the link that was configured.
    pub(super) fn dial(from: IpAddr, to: SocketAddr, channel: Channel) -> io::Result<Self> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&socket, &SocketAddr::new(from, 0))?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match rustix::net::connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self::new(TcpStream::from(socket), Phase::Connecting { channel }))
    }

    /// One that was accepted.
    pub(super) fn accepted(stream: TcpStream, handshake: Handshake) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self::new(stream, Phase::Handshake(Box::new(handshake))))
    }

    fn new(stream: TcpStream, phase: Phase) -> Self {
        let deadline = Some(Instant::now() + HANDSHAKE_TIMEOUT);
        Self { stream, out: OutQueue::default(), phase, deadline, ended: false, dialled: None }
    }

    /// What to watch it for.
    pub(super) fn interest(&self) -> Interest {
        let connecting = matches!(self.phase, Phase::Connecting { .. });
        // Whoever waits for the other half does not listen yet: what comes belongs to the time after.
        let read = !connecting && !self.ended && !matches!(self.phase, Phase::Waiting(_));
        Interest { read, write: connecting || !self.out.is_empty() }
    }

    /// Writes what waits. Once it is closing, says so when everything is written.
    pub(super) fn write(&mut self) -> Result<(), Errno> {
        let all = self.out.write_to(&self.stream)?;
        if let Phase::Closing { said_so } = &mut self.phase
            && all
            && !*said_so
        {
            *said_so = true;
            rustix::net::shutdown(self.stream.as_fd(), rustix::net::Shutdown::Write)?;
        }
        Ok(())
    }

    /// Reads into `scratch`. None: nothing is there; 0: the other side has closed.
    pub(super) fn read(&self, scratch: &mut [u8]) -> Result<Option<usize>, Errno> {
        match rustix::io::read(&self.stream, scratch) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads what is said on a connection in use to where it belongs. None: nothing is there; 0: the other side has closed.
    pub(super) fn read_on(&mut self, scratch: &mut [u8]) -> Result<Option<usize>, Errno> {
        let Phase::Up { opener, .. } = &mut self.phase else { return self.read(scratch) };
        if let Some(room) = opener.room() {
            return match rustix::io::read(&self.stream, room) {
                Ok(bytes) => {
                    opener.filled(bytes);
                    Ok(Some(bytes))
                }
                Err(Errno::AGAIN | Errno::INTR) => Ok(None),
                Err(error) => Err(error),
            };
        }
        let wanted = opener.wanted();
        let keeps_room = opener.keeps_room();
        let buffer = opener.buffer();
        // Small messages lie where they arrived until they are carried out: they are copied together, so that each does
        // not keep so much memory.
        if !keeps_room && wanted < scratch.len() / 4 {
            let read = self.read(scratch)?;
            if let (Some(bytes), Phase::Up { opener, .. }) = (read, &mut self.phase) {
                opener.buffer().extend_from_slice(&scratch[..bytes]);
            }
            return Ok(read);
        }
        buffer.reserve(if keeps_room { wanted.max(scratch.len()) } else { wanted });
        let before = buffer.len();
        match rustix::io::read(&self.stream, buffer.spare_capacity_mut()) {
            Ok((read, _)) => {
                let bytes = read.len();
                // SAFETY: the system call has written so many bytes there, which are within the capacity.
                unsafe { buffer.set_len(before + bytes) };
                Ok(Some(bytes))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins to close it.
    pub(super) fn close(&mut self) {
        if let Phase::Up { sealer, .. } = &mut self.phase {
            // Without keys there is nothing more to be said; what was said is on its way.
            let _ = seal(sealer, &mut self.out);
        }
        self.phase = Phase::Closing { said_so: false };
        self.deadline = Some(Instant::now() + CLOSING_TIMEOUT);
    }

    /// The other side closed the stream of acknowledgements: the last words are on the other one.
    pub(super) fn ends(&mut self) {
        self.ended = true;
        self.deadline = Some(Instant::now() + CLOSING_TIMEOUT);
    }

    /// Seals and writes what was pushed.
    pub(super) fn flush(&mut self) -> Result<(), LinkError> {
        if let Phase::Up { sealer, .. } = &mut self.phase
            && sealer.pending() > 0
        {
            seal(sealer, &mut self.out)?;
        }
        Ok(())
    }
}

/// Brings what was pushed to what is to be written: sealed there, or as it is.
fn seal(sealer: &mut Sealer, out: &mut OutQueue) -> Result<(), LinkError> {
    if sealer.is_protected() {
        out.append(|out| sealer.seal(out))
    } else {
        sealer.seal_each(|piece| out.push(piece))
    }
}
