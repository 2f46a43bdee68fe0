//! One connection: TCP or a channel through a jump host, handshake, login; and its channels.
//!
//! In: an endpoint. Out: a connection that is logged in, or why there is none. Never retries.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use russh::client::{self, Handle, Msg};
use russh::keys::{Algorithm, EcdsaCurve};
use russh::{Channel, ChannelOpenFailure, Preferred, cipher, compression};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::context::SshContext;
use super::handler::{Client, End, HandshakeError, explain};
use super::hop::HopStream;
use super::known_hosts::KnownHosts;
use super::login::login;
use super::route::Endpoint;
use crate::names::NodeName;
use crate::transport::TransportError;

/// Channels open at once on a connection: under sshd's `MaxSessions` of 10, and leaving room for a person.
const MAX_CHANNELS: usize = 8;
/// Longest wait for one of them to become free.
const MAX_CHANNEL_WAIT: Duration = Duration::from_secs(600);
/// Longest wait for the node to open a channel.
const MAX_CHANNEL_OPEN: Duration = Duration::from_secs(30);
/// How often, and after what growing pause, a refused channel is asked for again when none of ours is open.
const MAX_OPEN_RETRIES: u32 = 8;
const OPEN_RETRY_STEP: Duration = Duration::from_millis(5);
/// Bytes the node may send on a channel before it is told to go on.
const WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Messages of one channel that may wait to be looked at.
const CHANNEL_QUEUE: usize = 64;

/// A connection that is logged in.
pub(super) struct Connection {
    handle: Handle<Client>,
    /// Places for commands.
    places: Places,
    /// A place for ending a command that was given up and still holds its own.
    spare: Places,
    end: End,
    /// The connection it goes through, kept open as long as this one.
    _through: Option<Arc<Connection>>,
}

/// A channel, and its place among those of its connection.
pub(super) struct OpenChannel {
    pub(super) channel: Channel<Msg>,
    pub(super) place: Place,
    pub(super) connection: Arc<Connection>,
}

/// Why there is no channel.
pub(super) enum NoChannel {
    /// The connection has ended.
    Ended(String),
    /// The node, or the wait for a place, says no.
    Refused(String),
}

/// How many channels may be open at once.
struct Places {
    permits: Arc<Semaphore>,
    /// How many permits there are, lent or not.
    capacity: AtomicUsize,
    /// Places that are taken.
    taken: Arc<AtomicUsize>,
}

impl Places {
    fn new(capacity: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(capacity)),
            capacity: AtomicUsize::new(capacity),
            taken: Arc::default(),
        }
    }

    /// Waits for a place; with it comes how many others are taken.
    async fn take(&self) -> Result<(Place, usize), NoChannel> {
        match timeout(MAX_CHANNEL_WAIT, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => {
                let others = self.taken.fetch_add(1, Ordering::AcqRel);
                Ok((Place { permit: Some(permit), taken: self.taken.clone() }, others))
            }
            Ok(Err(_)) => Err(NoChannel::Ended("the connection is closing".to_owned())),
            Err(_) => {
                let wait_s = MAX_CHANNEL_WAIT.as_secs();
                Err(NoChannel::Refused(format!("all channels of the connection were busy for {wait_s} s")))
            }
        }
    }

    /// Takes one place away for good, unless it is the last.
    fn reduce(&self) -> bool {
        let less = |capacity: usize| (capacity > 1).then(|| capacity - 1);
        self.capacity.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok()
    }
}

/// A place among the channels of a connection; given back when dropped.
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    taken: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
        drop(self.permit.take());
    }
}

impl Connection {
    /// Connects to an endpoint, through another connection if there is one, and logs in.
    pub(super) async fn open(
        node: &NodeName,
        endpoint: &Endpoint,
        through: Option<Arc<Self>>,
        context: &Arc<SshContext>,
    ) -> Result<Self, TransportError> {
        let known = context
            .known_hosts(&endpoint.known_hosts)
            .map_err(|reason| TransportError::Configuration { node: node.clone(), reason })?;
        let unreachable = |reason: String| TransportError::Unreachable {
            node: node.clone(),
            address: endpoint.address(),
            reason,
        };
        match &through {
            None => {
                let stream = dial(endpoint).await.map_err(unreachable)?;
                Self::start(node, endpoint, stream, None, context, known).await
            }
            Some(hop) => {
                let stream = hop.forward(endpoint).await.map_err(unreachable)?;
                Self::start(node, endpoint, stream, through.clone(), context, known).await
            }
        }
    }

    async fn start<S>(
        node: &NodeName,
        endpoint: &Endpoint,
        stream: S,
        through: Option<Arc<Self>>,
        context: &Arc<SshContext>,
        known: Arc<KnownHosts>,
    ) -> Result<Self, TransportError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let unreachable = |reason: String| TransportError::Unreachable {
            node: node.clone(),
            address: endpoint.address(),
            reason,
        };
        let end: End = Arc::new(OnceLock::new());
        let config = Arc::new(library_config(endpoint, &known));
        let client = Client {
            context: context.clone(),
            name: endpoint.key_name.clone(),
            files: endpoint.known_hosts.clone(),
            known,
            accept_new: endpoint.accept_new,
            end: end.clone(),
        };
        let limit = endpoint.login_timeout;
        let mut handle = match timeout(limit, client::connect_stream(config, stream, client)).await {
            Err(_) => {
                let reason = format!(
                    "connected, but the SSH handshake did not finish within {} s",
                    limit.as_secs_f32()
                );
                return Err(unreachable(reason));
            }
            Ok(Err(error)) => return Err(handshake_failure(node, endpoint, error)),
            Ok(Ok(handle)) => handle,
        };
        match timeout(limit, login(&mut handle, endpoint, context)).await {
            Err(_) => Err(unreachable(format!("the login did not finish within {} s", limit.as_secs_f32()))),
            Ok(Err(reason)) => {
                let reason = match end.get() {
                    Some(end) => format!("{reason}; {end}"),
                    None => reason,
                };
                Err(TransportError::Authentication {
                    node: node.clone(),
                    user: endpoint.user.clone(),
                    reason,
                })
            }
            Ok(Ok(())) => Ok(Self {
                handle,
                places: Places::new(MAX_CHANNELS),
                spare: Places::new(1),
                end,
                _through: through,
            }),
        }
    }

    /// Whether it has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// A channel to another host, seen from this one.
    async fn forward(&self, endpoint: &Endpoint) -> Result<HopStream, String> {
        let open = self.handle.channel_open_direct_tcpip(
            endpoint.host.clone(),
            endpoint.port.into(),
            "127.0.0.1",
            0,
        );
        match timeout(endpoint.connect_timeout, open).await {
            Err(_) => Err(format!(
                "the jump host did not connect within {} s",
                endpoint.connect_timeout.as_secs_f32()
            )),
            Ok(Err(russh::Error::ChannelOpenFailure(reason))) => {
                Err(format!("the jump host says: {}", refusal(&reason)))
            }
            Ok(Err(error)) => Err(format!("through the jump host: {}", self.why(&error))),
            Ok(Ok(channel)) => Ok(HopStream::new(channel)),
        }
    }

    /// Why a command on it has no exit status, as far as it is known.
    pub(super) fn end_reason(&self) -> String {
        self.end.get().cloned().unwrap_or_else(|| "the channel was closed without an exit status".to_owned())
    }

    fn why(&self, error: &russh::Error) -> String {
        self.end.get().cloned().unwrap_or_else(|| explain(error))
    }

    /// Opens a channel for a command, after those before it when all places are taken.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) async fn channel(self: &Arc<Self>) -> Result<OpenChannel, NoChannel> {
        self.channel_among(&self.places).await
    }

    /// Opens the channel that is kept for ending given-up commands.
    ///
    /// # Errors
    /// As [`Self::channel`].
    pub(super) async fn spare_channel(self: &Arc<Self>) -> Result<OpenChannel, NoChannel> {
        self.channel_among(&self.spare).await
    }

    async fn channel_among(self: &Arc<Self>, places: &Places) -> Result<OpenChannel, NoChannel> {
        let mut attempts = 0;
        loop {
            let (mut place, others) = places.take().await?;
            match timeout(MAX_CHANNEL_OPEN, self.handle.channel_open_session()).await {
                Ok(Ok(channel)) => return Ok(OpenChannel { channel, place, connection: self.clone() }),
                Ok(Err(russh::Error::ChannelOpenFailure(reason))) => {
                    if others > 0 && places.reduce() {
                        // sshd allows fewer (`MaxSessions`): this place is given up, and another one awaited.
                        place.permit.take().into_iter().for_each(OwnedSemaphorePermit::forget);
                        continue;
                    }
                    // sshd counts a session until a moment after it has told us of its end.
                    attempts += 1;
                    if attempts > MAX_OPEN_RETRIES {
                        let reason = format!("the node refused to open a channel: {}", refusal(&reason));
                        return Err(NoChannel::Refused(reason));
                    }
                    tokio::time::sleep(OPEN_RETRY_STEP * attempts).await;
                }
                Ok(Err(error)) => return Err(NoChannel::Ended(self.why(&error))),
                Err(_) => {
                    let wait_s = MAX_CHANNEL_OPEN.as_secs();
                    return Err(NoChannel::Refused(format!("no channel was opened within {wait_s} s")));
                }
            }
        }
    }
}

fn refusal(reason: &ChannelOpenFailure) -> &'static str {
    match reason {
        ChannelOpenFailure::AdministrativelyProhibited => {
            "administratively prohibited (AllowTcpForwarding, PermitOpen)"
        }
        ChannelOpenFailure::ConnectFailed => "connection failed",
        ChannelOpenFailure::UnknownChannelType => "unknown channel type",
        ChannelOpenFailure::ResourceShortage => "resource shortage",
        _ => "open failed",
    }
}

/// Connects by TCP to the first address of the host that answers.
async fn dial(endpoint: &Endpoint) -> Result<TcpStream, String> {
    let limit = endpoint.connect_timeout;
    let too_late = || format!("no answer within {} s", limit.as_secs_f32());
    let lookup = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port));
    let addresses: Vec<SocketAddr> = match timeout(limit, lookup).await {
        Err(_) => return Err(format!("the name could not be looked up within {} s", limit.as_secs_f32())),
        Ok(Err(error)) => return Err(format!("the name cannot be looked up: {error}")),
        Ok(Ok(addresses)) => addresses.collect(),
    };
    let mut problems = Vec::new();
    for address in &addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Each command is a few small packets: none may wait for the one before to be confirmed.
                stream.set_nodelay(true).map_err(|error| format!("cannot set TCP_NODELAY: {error}"))?;
                return Ok(stream);
            }
            Ok(Err(error)) => problems.push((address, error.to_string())),
            Err(_) => problems.push((address, too_late())),
        }
    }
    match problems.as_slice() {
        [] => Err("the name has no address".to_owned()),
        [(_, problem)] => Err(problem.clone()),
        several => Err(several
            .iter()
            .map(|(address, problem)| format!("{address}: {problem}"))
            .collect::<Vec<_>>()
            .join("; ")),
    }
}

fn handshake_failure(node: &NodeName, endpoint: &Endpoint, error: HandshakeError) -> TransportError {
    let (node, address) = (node.clone(), endpoint.address());
    match error {
        HandshakeError::HostKey(reason) => TransportError::HostKey { node, address, reason },
        HandshakeError::Files(reason) => TransportError::Configuration { node, reason },
        HandshakeError::Protocol(russh::Error::NoCommonAlgo {
            kind: russh::AlgorithmKind::Key,
            theirs,
            ..
        }) => {
            let only = theirs.join(", ");
            let advice = if theirs.iter().any(|name| name.contains("rsa")) && !cfg!(feature = "rsa") {
                "this build does not use RSA (RUSTSEC-2023-0071): make an Ed25519 host key there with \
                 `ssh-keygen -A`, or build with `--features rsa`"
            } else {
                "make an Ed25519 host key there with `ssh-keygen -A`"
            };
            TransportError::HostKey {
                node,
                address,
                reason: format!("the host has only keys of type {only}; {advice}"),
            }
        }
        HandshakeError::Protocol(error) => {
            TransportError::Unreachable { node, address, reason: explain(&error) }
        }
    }
}

/// How the library is to speak with this endpoint.
fn library_config(endpoint: &Endpoint, known: &KnownHosts) -> client::Config {
    let name = &endpoint.key_name;
    let all = host_key_algorithms();
    // A host is asked first for a key that can be compared, as in ssh(1).
    let mut keys: Vec<Algorithm> = Vec::new();
    for algorithm in known.algorithms(name) {
        keys.extend(
            all.iter()
                .filter(|offer| same_kind(offer, &algorithm) && !keys.contains(offer))
                .cloned()
                .collect::<Vec<_>>(),
        );
    }
    keys.extend(all.iter().filter(|offer| !keys.contains(offer)).cloned().collect::<Vec<_>>());
    let certificates = if known.has_authority(name) { all } else { Vec::new() };
    client::Config {
        client_id: russh::SshId::Standard(concat!("SSH-2.0-hactl_", env!("CARGO_PKG_VERSION")).into()),
        window_size: WINDOW_BYTES,
        channel_buffer_size: CHANNEL_QUEUE,
        keepalive_interval: Some(endpoint.keepalive_interval),
        keepalive_max: endpoint.keepalive_misses,
        nodelay: true,
        preferred: Preferred {
            key: keys.into(),
            host_key_certificates: certificates.into(),
            cipher: vec![
                cipher::AES_256_GCM,
                cipher::AES_128_GCM,
                cipher::CHACHA20_POLY1305,
                cipher::AES_256_CTR,
                cipher::AES_128_CTR,
            ]
            .into(),
            compression: vec![compression::NONE].into(),
            ..Preferred::DEFAULT
        },
        ..client::Config::default()
    }
}

fn same_kind(a: &Algorithm, b: &Algorithm) -> bool {
    a == b || matches!((a, b), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

/// Host key algorithms this build can check, the fastest first.
fn host_key_algorithms() -> Vec<Algorithm> {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    vec![
        Algorithm::Ed25519,
        ecdsa(EcdsaCurve::NistP256),
        ecdsa(EcdsaCurve::NistP384),
        ecdsa(EcdsaCurve::NistP521),
        #[cfg(feature = "rsa")]
        Algorithm::Rsa { hash: Some(russh::keys::HashAlg::Sha512) },
        #[cfg(feature = "rsa")]
        Algorithm::Rsa { hash: Some(russh::keys::HashAlg::Sha256) },
    ]
}
