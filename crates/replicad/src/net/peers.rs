//! All connections of a volume.
//!
//! The node with the lower id dials, so that two never cross. A connection is a pair of TCP streams of one session; it
//! counts once both are there and both ends have shown who they are. A new pair replaces an old one: a peer that
//! begins anew has lost the old one, whatever is still believed of it here.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use replica::NodeId;
use replica::wire::{Channel, Message};
use replica_link::{Endpoint, Handshake, SessionId};

use super::connection::{Connection, Phase};
use crate::poll::{Interest, Poller, Ready};

/// Bytes read at a time.
const READ_BYTES: usize = 256 * 1024;
/// Connections in their handshake at a time; more are closed at once.
const MAX_STRANGERS: usize = 64;
/// Tokens of connections follow the one of the listener.
const LISTENER: u64 = 0;

/// Why the volume cannot have connections.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The address cannot be listened on.
    #[error("cannot listen for peers on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Something about a peer.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    /// A connection is there.
    Up(NodeId),
    /// It is gone.
    Down(NodeId),
    /// A message; of the connection with this number.
    Message(NodeId, u64, Message),
}

#[derive(Debug, Default)]
struct PeerLink {
    wanted: bool,
    /// The connections in use: data and control.
    up: Option<[u64; 2]>,
    /// Counts connections; what an earlier one brought is not taken for this one's.
    epoch: u64,
    dialling: bool,
    retry_at: Option<Instant>,
    trouble: Option<String>,
}

/// The connections.
#[derive(Debug)]
pub(crate) struct Peers {
    endpoint: Endpoint,
    listener: TcpListener,
    own: SocketAddr,
    addresses: BTreeMap<NodeId, SocketAddr>,
    connect_int: Duration,
    links: BTreeMap<NodeId, PeerLink>,
    connections: HashMap<u64, Connection>,
    next_token: u64,
    base: u64,
    /// What happened and was not yet told.
    pub(crate) events: VecDeque<PeerEvent>,
    scratch: Vec<u8>,
    /// Bytes sent to and received from peers, for metrics.
    pub(crate) bytes: [u64; 2],
}

impl Peers {
    /// Listens for the peers. Tokens from `base` on are this module's.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub(crate) fn new(
        endpoint: Endpoint,
        own: SocketAddr,
        addresses: BTreeMap<NodeId, SocketAddr>,
        connect_int: Duration,
        (poller, base): (&mut Poller, u64),
    ) -> Result<Self, NetError> {
        let failed = |source| NetError::Listen { address: own, source };
        let listener = TcpListener::bind(own).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        poller.watch(&listener, base + LISTENER, Interest::READ).map_err(failed)?;
        let links = addresses.keys().map(|peer| (*peer, PeerLink::default())).collect();
        Ok(Self {
            endpoint,
            listener,
            own,
            addresses,
            connect_int,
            links,
            connections: HashMap::new(),
            next_token: LISTENER,
            base,
            events: VecDeque::new(),
            scratch: vec![0; READ_BYTES],
            bytes: [0; 2],
        })
    }

    /// Connects to a peer, and keeps trying.
    pub(crate) fn want(&mut self, peer: NodeId) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.wanted = true;
            link.retry_at = Some(Instant::now());
        }
    }

    /// Closes the connection once what was sent is on its way. `again`: then tries anew.
    pub(crate) fn disconnect(&mut self, peer: NodeId, again: bool) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        link.wanted = again;
        link.epoch += 1;
        link.retry_at = again.then(|| Instant::now() + self.connect_int);
        if let Some(pair) = link.up.take() {
            for token in pair {
                if let Some(connection) = self.connections.get_mut(&token) {
                    connection.close();
                }
            }
        }
    }

    /// Whether a message of that connection still counts: that of one that was given up by order, or followed by another,
    /// does not; that of one that broke does, as what was said on it came before.
    #[must_use]
    pub(crate) fn is_current(&self, peer: NodeId, epoch: u64) -> bool {
        self.links.get(&peer).is_some_and(|link| link.epoch == epoch)
    }

    /// Why the last attempt to connect to a peer failed.
    #[must_use]
    pub(crate) fn trouble(&self, peer: NodeId) -> Option<&str> {
        self.links.get(&peer).and_then(|link| link.trouble.as_deref())
    }

    /// Whether no connection is being closed any more.
    #[must_use]
    pub(crate) fn is_quiet(&self) -> bool {
        !self.connections.values().any(|connection| matches!(connection.phase, Phase::Closing { .. }))
    }

    /// Bytes that wait to be sent to the peer that takes the longest.
    #[must_use]
    pub(crate) fn backlog(&self) -> usize {
        self.connections.values().map(|connection| connection.out.len()).max().unwrap_or(0)
    }

    /// Says something to a peer. It goes out with [`Self::flush`].
    pub(crate) fn send(&mut self, peer: NodeId, message: &Message) {
        let Some(pair) = self.links.get(&peer).and_then(|link| link.up) else { return };
        let token = pair[usize::from(message.channel() == Channel::Control)];
        if let Some(Connection { phase: Phase::Up { sealer, .. }, .. }) = self.connections.get_mut(&token) {
            sealer.push(message);
        }
    }

    /// Sends what was said, in as few pieces as possible.
    pub(crate) fn flush(&mut self, poller: &mut Poller) {
        let tokens: Vec<u64> = self.connections.keys().copied().collect();
        for token in tokens {
            let Some(connection) = self.connections.get_mut(&token) else { continue };
            if connection.flush().is_err() {
                self.lose(token, "the connection's keys are used up".to_owned(), poller);
                continue;
            }
            let before = connection.out.len();
            let written = connection.write();
            self.bytes[0] += (before - connection.out.len()) as u64;
            match written {
                Ok(()) => self.watch(token, poller),
                Err(error) => self.broke(token, error.to_string(), poller),
            }
        }
    }

    fn watch(&mut self, token: u64, poller: &mut Poller) {
        let Some(connection) = self.connections.get(&token) else { return };
        let watched = poller.watch(&connection.stream, self.base + token, connection.interest());
        if let Err(error) = watched {
            self.lose(token, error.to_string(), poller);
        }
    }

    /// The next time at which [`Self::tick`] has something to do.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let retries = self
            .links
            .iter()
            .filter(|(peer, link)| self.dials(**peer, link))
            .filter_map(|(_, link)| link.retry_at);
        retries.chain(self.connections.values().filter_map(|connection| connection.deadline)).min()
    }

    fn dials(&self, peer: NodeId, link: &PeerLink) -> bool {
        link.wanted && link.up.is_none() && !link.dialling && self.endpoint.node < peer
    }

    /// Gives up what takes too long, and tries again what is due.
    pub(crate) fn tick(&mut self, now: Instant, poller: &mut Poller) {
        let late: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.deadline.is_some_and(|deadline| deadline <= now))
            .map(|(token, _)| *token)
            .collect();
        for token in late {
            self.lose(token, "the peer does not answer in time".to_owned(), poller);
        }
        let due: Vec<NodeId> = self
            .links
            .iter()
            .filter(|(peer, link)| self.dials(**peer, link) && link.retry_at.is_some_and(|at| at <= now))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in due {
            self.dial(peer, poller);
        }
    }

    fn dial(&mut self, peer: NodeId, poller: &mut Poller) {
        let Some(address) = self.addresses.get(&peer).copied() else { return };
        let mut session = SessionId([0; 16]);
        let random = rustix::rand::getrandom(&mut session.0, rustix::rand::GetRandomFlags::empty());
        if let Some(link) = self.links.get_mut(&peer) {
            link.dialling = true;
        }
        for channel in [Channel::Data, Channel::Control] {
            let dialled = match random {
                Ok(_) => Connection::dial(self.own.ip(), address, channel),
                Err(error) => Err(error.into()),
            };
            match dialled {
                Ok(mut connection) => {
                    connection.dialled = Some((peer, session));
                    let token = self.add(connection);
                    self.watch(token, poller);
                }
                Err(error) => {
                    self.dial_failed(peer, session, &format!("cannot connect to {address}: {error}"), poller);
                    return;
                }
            }
        }
    }

    fn add(&mut self, connection: Connection) -> u64 {
        self.next_token += 1;
        self.connections.insert(self.next_token, connection);
        self.next_token
    }

    /// An attempt failed: both of its connections go, and it is tried again later.
    fn dial_failed(&mut self, peer: NodeId, session: SessionId, why: &str, poller: &mut Poller) {
        let attempt: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.dialled == Some((peer, session)))
            .map(|(token, _)| *token)
            .collect();
        for token in attempt {
            self.remove(token, poller);
        }
        if let Some(link) = self.links.get_mut(&peer) {
            link.dialling = false;
            link.retry_at = Some(Instant::now() + self.connect_int);
            link.trouble = Some(why.to_owned());
        }
    }

    fn remove(&mut self, token: u64, poller: &mut Poller) -> Option<Connection> {
        let connection = self.connections.remove(&token)?;
        poller.forget(connection.stream.as_fd());
        Some(connection)
    }

    /// A connection is of no more use.
    fn lose(&mut self, token: u64, why: String, poller: &mut Poller) {
        let Some(connection) = self.remove(token, poller) else { return };
        match connection.phase {
            Phase::Up { peer, .. } => self.pair_lost(peer, token, why, poller),
            Phase::Closing { .. } => {}
            _ => match connection.dialled {
                Some((peer, session)) => self.dial_failed(peer, session, &why, poller),
                None => {
                    if let Phase::Waiting(link) = &connection.phase
                        && let Some(peer) = self.links.get_mut(&link.peer)
                    {
                        peer.trouble = Some(why);
                    }
                }
            },
        }
    }

    /// A connection was ended by the other side, or on the way there. What the peer still said, on this one and on the other
    /// one of the pair, is heard first: it may be why it went.
    fn broke(&mut self, token: u64, why: String, poller: &mut Poller) {
        let pair = self.links.values().filter_map(|link| link.up).find(|pair| pair.contains(&token));
        for token in pair.into_iter().flatten() {
            self.hear_out(token);
        }
        self.lose(token, why, poller);
    }

    /// Takes in what has arrived on a connection, and no more than that.
    fn hear_out(&mut self, token: u64) {
        let Some(connection) = self.connections.get(&token) else { return };
        let mut left = rustix::io::ioctl_fionread(&connection.stream).unwrap_or(0);
        while left > 0 {
            let Some(connection) = self.connections.get_mut(&token) else { return };
            let Ok(Some(bytes @ 1..)) = connection.read_on(&mut self.scratch) else { return };
            left = left.saturating_sub(bytes as u64);
            self.bytes[1] += bytes as u64;
            if self.take_messages(token).is_err() {
                return;
            }
        }
    }

    /// One of a pair broke: the other one goes too.
    fn pair_lost(&mut self, peer: NodeId, token: u64, why: String, poller: &mut Poller) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        let Some(pair) = link.up.filter(|pair| pair.contains(&token)) else { return };
        link.up = None;
        link.trouble = Some(why);
        link.retry_at = link.wanted.then(Instant::now);
        for other in pair {
            self.remove(other, poller);
        }
        self.events.push_back(PeerEvent::Down(peer));
    }

    /// Goes on with what is ready.
    pub(crate) fn ready(&mut self, ready: Ready, poller: &mut Poller) {
        let token = ready.token - self.base;
        if token == LISTENER {
            return self.accept(poller);
        }
        let Some(connection) = self.connections.get_mut(&token) else { return };
        if let Phase::Connecting { channel } = connection.phase {
            return self.connected(token, channel, poller);
        }
        if ready.write
            && let Err(error) = connection.write()
        {
            return self.broke(token, error.to_string(), poller);
        }
        if ready.read {
            self.receive(token, poller);
        }
        self.watch(token, poller);
    }

    fn accept(&mut self, poller: &mut Poller) {
        while let Ok((stream, _)) = self.listener.accept() {
            let wanted: BTreeSet<NodeId> =
                self.links.iter().filter(|(_, link)| link.wanted).map(|(peer, _)| *peer).collect();
            let strangers =
                self.connections.values().filter(|c| matches!(c.phase, Phase::Handshake(_))).count();
            if wanted.is_empty() || strangers >= MAX_STRANGERS {
                continue;
            }
            let handshake = Handshake::accept(self.endpoint.clone(), wanted);
            if let Ok(connection) = Connection::accepted(stream, handshake) {
                let token = self.add(connection);
                self.watch(token, poller);
            }
        }
    }

    /// A dialled connection is there, or cannot be had.
    fn connected(&mut self, token: u64, channel: Channel, poller: &mut Poller) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let Some((peer, session)) = connection.dialled else { return };
        if let Ok(Some(error)) | Err(error) = connection.stream.take_error() {
            let why = format!("cannot connect: {error}");
            return self.lose(token, why, poller);
        }
        match Handshake::dial(self.endpoint.clone(), peer, channel, session) {
            Ok(mut handshake) => {
                connection.out.push(handshake.output().split().freeze());
                connection.phase = Phase::Handshake(Box::new(handshake));
                self.flush_one(token, poller);
            }
            Err(error) => self.lose(token, error.to_string(), poller),
        }
    }

    fn flush_one(&mut self, token: u64, poller: &mut Poller) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        match connection.write() {
            Ok(()) => self.watch(token, poller),
            Err(error) => self.lose(token, error.to_string(), poller),
        }
    }

    fn receive(&mut self, token: u64, poller: &mut Poller) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let bytes = match connection.read_on(&mut self.scratch) {
            Ok(None) => return,
            Ok(Some(0)) if matches!(connection.phase, Phase::Up { channel: Channel::Control, .. }) => {
                return connection.ends();
            }
            Ok(Some(0)) => return self.broke(token, "the peer closed the connection".to_owned(), poller),
            Ok(Some(bytes)) => bytes,
            Err(error) => return self.broke(token, error.to_string(), poller),
        };
        self.bytes[1] += bytes as u64;
        match &mut connection.phase {
            Phase::Handshake(handshake) => {
                handshake.buffer().extend_from_slice(&self.scratch[..bytes]);
                self.advance(token, poller);
            }
            Phase::Up { .. } => self.deliver(token, poller),
            // What comes on a connection that is being closed is of no interest.
            Phase::Closing { .. } | Phase::Connecting { .. } | Phase::Waiting(_) => {}
        }
    }

    fn advance(&mut self, token: u64, poller: &mut Poller) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let Phase::Handshake(handshake) = &mut connection.phase else { return };
        let advanced = handshake.advance();
        connection.out.push(handshake.output().split().freeze());
        match advanced {
            Ok(None) => self.flush_one(token, poller),
            Ok(Some(link)) => {
                let (peer, session) = (link.peer, link.session);
                connection.phase = Phase::Waiting(Box::new(link));
                self.flush_one(token, poller);
                self.join(peer, session, poller);
            }
            Err(error) => self.lose(token, error.to_string(), poller),
        }
    }

    /// Both connections of a session may be there.
    fn join(&mut self, peer: NodeId, session: SessionId, poller: &mut Poller) {
        let half = |wanted: Channel| {
            self.connections.iter().find_map(|(token, connection)| match &connection.phase {
                Phase::Waiting(link)
                    if link.peer == peer && link.session == session && link.channel == wanted =>
                {
                    Some(*token)
                }
                _ => None,
            })
        };
        let (Some(data), Some(control)) = (half(Channel::Data), half(Channel::Control)) else { return };
        let Some(link) = self.links.get_mut(&peer) else { return };
        if !link.wanted {
            for token in [data, control] {
                self.remove(token, poller);
            }
            return;
        }
        if let Some(old) = link.up.take() {
            for token in old {
                self.remove(token, poller);
            }
            self.events.push_back(PeerEvent::Down(peer));
        }
        let Some(link) = self.links.get_mut(&peer) else { return };
        link.up = Some([data, control]);
        link.epoch += 1;
        link.dialling = false;
        link.trouble = None;
        self.events.push_back(PeerEvent::Up(peer));
        for token in [data, control] {
            if let Some(connection) = self.connections.get_mut(&token) {
                connection.deadline = None;
                let waiting = std::mem::replace(&mut connection.phase, Phase::Closing { said_so: false });
                if let Phase::Waiting(link) = waiting {
                    connection.phase = Phase::Up {
                        peer,
                        channel: link.channel,
                        sealer: Box::new(link.sealer),
                        opener: Box::new(link.opener),
                    };
                }
            }
            // What came while the other half was awaited.
            self.deliver(token, poller);
            self.watch(token, poller);
        }
    }

    fn deliver(&mut self, token: u64, poller: &mut Poller) {
        if let Err(why) = self.take_messages(token) {
            self.lose(token, why, poller);
        }
    }

    /// Passes on the messages that are there whole; or says why the connection is of no more use.
    fn take_messages(&mut self, token: u64) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(&token) else { return Ok(()) };
        let Phase::Up { peer, channel, opener, .. } = &mut connection.phase else { return Ok(()) };
        let (peer, channel) = (*peer, *channel);
        let epoch = self.links.get(&peer).map_or(0, |link| link.epoch);
        loop {
            match opener.next_message() {
                Ok(Some(message)) if message.channel() == channel => {
                    self.events.push_back(PeerEvent::Message(peer, epoch, message));
                }
                Ok(Some(message)) => {
                    return Err(format!("the peer sent {} on the wrong channel", message.name()));
                }
                Ok(None) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}
