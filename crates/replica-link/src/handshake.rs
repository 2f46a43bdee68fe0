//! The beginning of a connection, from both ends: until it is known who is there, and both have keys.
//!
//! ```text
//! dialler  -> preamble, Noise message 1          (64 bytes)
//! acceptor -> Noise message 2                    (48 bytes)
//! dialler  -> a record with the session's number (34 bytes), and whatever follows
//! ```
//! The acceptor takes nobody for present before the third: the first may have been recorded earlier, the third answers
//! what the acceptor has just made up. Unprotected: preamble and number, and the acceptor's preamble in return.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use replica::NodeId;
use replica::wire::Channel;
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use crate::error::LinkError;
use crate::key::{LinkKey, Security};
use crate::keys::{DirectionKey, KEY_BYTES};
use crate::preamble::{PREAMBLE_BYTES, Preamble};
use crate::record::{LENGTH_BYTES, Opener, Sealer, TAG_BYTES};

/// How long a handshake may take before the caller closes the connection.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

const NOISE: &str = "Noise_NNpsk0_25519_AESGCM_BLAKE2s";
const PROLOGUE_LABEL: &[u8] = b"hactl replica link";
/// Bytes of either Noise message: a public key and a tag.
const NOISE_BYTES: usize = 32 + TAG_BYTES;
const SESSION_BYTES: usize = 16;
const CONFIRM_BYTES: usize = LENGTH_BYTES + SESSION_BYTES + TAG_BYTES;

/// The number that the dialler gives to the two connections, data and control, that belong together. Random, and new
/// for every attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; SESSION_BYTES]);

/// This end of a volume's connections.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The name of the volume, the same on all nodes.
    pub volume: String,
    /// This node.
    pub node: NodeId,
    /// How connections are protected.
    pub security: Security,
}

/// A connection whose other end is known.
#[derive(Debug)]
pub struct Link {
    /// Who is at the other end.
    pub peer: NodeId,
    /// What the connection is for.
    pub channel: Channel,
    /// Which other connection it belongs with.
    pub session: SessionId,
    /// What is to be sent goes through this.
    pub sealer: Sealer,
    /// What arrives goes through this. It has what arrived already.
    pub opener: Opener,
}

#[derive(Debug)]
enum Stage {
    /// Accepting: the first word is awaited.
    Greeting { peers: BTreeSet<NodeId> },
    /// Accepting: answered; the proof that the dialler is there now is awaited.
    Confirming { preamble: Preamble, opener: Box<Opener>, sealer: Box<Sealer> },
    /// Dialling: the answer is awaited.
    Answer { preamble: Preamble, session: SessionId, noise: Option<Box<HandshakeState>> },
    /// Over, one way or the other.
    Over,
}

/// A handshake that goes on.
#[derive(Debug)]
pub struct Handshake {
    endpoint: Endpoint,
    input: BytesMut,
    output: BytesMut,
    stage: Stage,
}

fn noise(
    endpoint: &Endpoint,
    key: &LinkKey,
    preamble: Preamble,
    dials: bool,
) -> Result<HandshakeState, LinkError> {
    let unavailable = |_| LinkError::Unavailable(NOISE);
    let mut prologue = PROLOGUE_LABEL.to_vec();
    prologue.extend_from_slice(&preamble.to_bytes());
    prologue.extend_from_slice(endpoint.volume.as_bytes());
    let builder = Builder::new(NOISE.parse().map_err(unavailable)?)
        .prologue(&prologue)
        .and_then(|builder| builder.psk(0, key.bytes()))
        .map_err(unavailable)?;
    if dials { builder.build_initiator() } else { builder.build_responder() }.map_err(unavailable)
}

/// The keys of both directions.
struct Keys {
    out: DirectionKey,
    back: DirectionKey,
}

fn keys(mut noise: HandshakeState) -> Result<Keys, LinkError> {
    if !noise.is_handshake_finished() {
        return Err(LinkError::Authentication);
    }
    let (dialler, acceptor) = noise.dangerously_get_raw_split();
    let [dialler, acceptor]: [Zeroizing<[u8; KEY_BYTES]>; 2] = [dialler, acceptor].map(Zeroizing::new);
    let (out, back) = if noise.is_initiator() { (&dialler, &acceptor) } else { (&acceptor, &dialler) };
    Ok(Keys { out: DirectionKey::new(out)?, back: DirectionKey::new(back)? })
}

impl Handshake {
    /// Begins a connection to a peer. What is to be sent is in [`Self::output`] already.
    ///
    /// # Errors
    /// The machine has no random numbers.
    pub fn dial(
        endpoint: Endpoint,
        peer: NodeId,
        channel: Channel,
        session: SessionId,
    ) -> Result<Self, LinkError> {
        let protected = matches!(endpoint.security, Security::Key(_));
        let preamble = Preamble { protected, from: endpoint.node, to: peer, channel };
        let mut output = BytesMut::from(&preamble.to_bytes()[..]);
        let noise = match &endpoint.security {
            Security::Unprotected => {
                output.extend_from_slice(&session.0);
                None
            }
            Security::Key(key) => {
                let mut noise = noise(&endpoint, key, preamble, true)?;
                let mut message = [0; NOISE_BYTES];
                noise.write_message(&[], &mut message).map_err(|_| LinkError::Unavailable(NOISE))?;
                output.extend_from_slice(&message);
                Some(Box::new(noise))
            }
        };
        let stage = Stage::Answer { preamble, session, noise };
        Ok(Self { endpoint, input: BytesMut::new(), output, stage })
    }

    /// Awaits what one of these peers has to say on a connection that it began.
    #[must_use]
    pub fn accept(endpoint: Endpoint, peers: BTreeSet<NodeId>) -> Self {
        let stage = Stage::Greeting { peers };
        Self { endpoint, input: BytesMut::new(), output: BytesMut::new(), stage }
    }

    /// Where bytes that arrive go. More than [`Self::wanted`] need not be read at a time.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// How many more bytes the next step needs.
    #[must_use]
    pub fn wanted(&self) -> usize {
        let protected = matches!(self.endpoint.security, Security::Key(_));
        let whole = match (&self.stage, protected) {
            (Stage::Greeting { .. }, true) => PREAMBLE_BYTES + NOISE_BYTES,
            (Stage::Greeting { .. }, false) => PREAMBLE_BYTES + SESSION_BYTES,
            (Stage::Confirming { .. }, _) => CONFIRM_BYTES,
            (Stage::Answer { .. }, true) => NOISE_BYTES,
            (Stage::Answer { .. }, false) => PREAMBLE_BYTES,
            (Stage::Over, _) => 0,
        };
        whole.saturating_sub(self.input.len())
    }

    /// Bytes to be sent; the caller takes them away after every step, the last one included.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Goes on with what arrived. Some: the other end is known.
    ///
    /// # Errors
    /// It is not one that this node talks to. The connection is closed without a word.
    pub fn advance(&mut self) -> Result<Option<Link>, LinkError> {
        loop {
            // What is in the clear is judged as soon as it is there: a stranger is not waited for.
            if let Stage::Greeting { peers } = &self.stage
                && let Some(head) = self.input.get(..PREAMBLE_BYTES)
            {
                self.judge(Preamble::from_bytes(head)?, peers)?;
            }
            if self.wanted() > 0 {
                return Ok(None);
            }
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Greeting { .. } => {
                    let link = self.greeted()?;
                    if link.is_some() {
                        return Ok(link);
                    }
                }
                Stage::Confirming { preamble, opener, sealer } => {
                    return self.confirmed(preamble, *opener, *sealer).map(Some);
                }
                Stage::Answer { preamble, session, noise } => {
                    return self.answered(preamble, session, noise).map(Some);
                }
                Stage::Over => return Ok(None),
            }
        }
    }

    fn judge(&self, preamble: Preamble, peers: &BTreeSet<NodeId>) -> Result<(), LinkError> {
        if preamble.protected != matches!(self.endpoint.security, Security::Key(_)) {
            return Err(LinkError::SecurityDiffers);
        }
        if preamble.to != self.endpoint.node {
            return Err(LinkError::WrongNode { from: preamble.from, to: preamble.to });
        }
        if !peers.contains(&preamble.from) {
            return Err(LinkError::UnknownPeer(preamble.from));
        }
        Ok(())
    }

    /// The dialler's first word is whole. Some: that was all, as nothing is protected.
    fn greeted(&mut self) -> Result<Option<Link>, LinkError> {
        let preamble = Preamble::from_bytes(&self.input.split_to(PREAMBLE_BYTES))?;
        let Security::Key(key) = &self.endpoint.security else {
            let mut session = SessionId([0; SESSION_BYTES]);
            self.input.copy_to_slice(&mut session.0);
            let answer = Preamble { from: preamble.to, to: preamble.from, ..preamble };
            self.output.extend_from_slice(&answer.to_bytes());
            return Ok(Some(self.link(preamble.from, preamble.channel, session, None)));
        };
        let mut noise = noise(&self.endpoint, key, preamble, false)?;
        let first = self.input.split_to(NOISE_BYTES);
        let mut message = [0; NOISE_BYTES];
        noise.read_message(&first, &mut message).map_err(|_| LinkError::Authentication)?;
        noise.write_message(&[], &mut message).map_err(|_| LinkError::Authentication)?;
        self.output.extend_from_slice(&message);
        let keys = keys(noise)?;
        let opener = Box::new(Opener::new(Some(keys.back), BytesMut::new()));
        let sealer = Box::new(Sealer::new(Some(keys.out)));
        self.stage = Stage::Confirming { preamble, opener, sealer };
        Ok(None)
    }

    /// The record that only a dialler that is there now can make is whole.
    fn confirmed(
        &mut self,
        preamble: Preamble,
        mut opener: Opener,
        sealer: Sealer,
    ) -> Result<Link, LinkError> {
        let sealed = std::mem::take(&mut self.input);
        let mut session = SessionId([0; SESSION_BYTES]);
        *opener.buffer() = sealed;
        opener.confirmation(&mut session.0).map_err(|_| LinkError::Authentication)?;
        Ok(Link { peer: preamble.from, channel: preamble.channel, session, sealer, opener })
    }

    /// The acceptor's answer is whole.
    fn answered(
        &mut self,
        preamble: Preamble,
        session: SessionId,
        noise: Option<Box<HandshakeState>>,
    ) -> Result<Link, LinkError> {
        let Some(mut noise) = noise else {
            let answer = Preamble::from_bytes(&self.input.split_to(PREAMBLE_BYTES))?;
            if answer.protected {
                return Err(LinkError::SecurityDiffers);
            }
            if (answer.from, answer.to) != (preamble.to, preamble.from) || answer.channel != preamble.channel
            {
                return Err(LinkError::WrongNode { from: answer.from, to: answer.to });
            }
            return Ok(self.link(preamble.to, preamble.channel, session, None));
        };
        let second = self.input.split_to(NOISE_BYTES);
        let mut payload = [0; NOISE_BYTES];
        noise.read_message(&second, &mut payload).map_err(|_| LinkError::Authentication)?;
        let mut link = self.link(preamble.to, preamble.channel, session, Some(keys(*noise)?));
        link.sealer.confirm(&session.0, &mut self.output)?;
        Ok(link)
    }

    fn link(&mut self, peer: NodeId, channel: Channel, session: SessionId, keys: Option<Keys>) -> Link {
        let (out, back) = keys.map_or((None, None), |keys| (Some(keys.out), Some(keys.back)));
        let opener = Opener::new(back, std::mem::take(&mut self.input));
        Link { peer, channel, session, sealer: Sealer::new(out), opener }
    }
}
