//! What a link is for, from the outside: two ends, and whoever sits on the wire between them.

mod hostile;
mod peers;
mod stream;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use replica::NodeId;
use replica::wire::{Channel, Message, WireWrite, WriteBody};

use crate::{Endpoint, Handshake, Link, LinkError, LinkKey, Security, SessionId};

pub(super) const VOLUME: &str = "shared-volume-name";
pub(super) const SESSION: SessionId = SessionId(*b"session-number-1");

pub(super) fn node(id: u8) -> NodeId {
    NodeId::new(id).unwrap()
}

pub(super) fn key() -> Security {
    static KEY: LazyLock<LinkKey> =
        LazyLock::new(|| LinkKey::derive(b"correct horse battery", VOLUME).unwrap());
    Security::Key(KEY.clone())
}

pub(super) fn endpoint(id: u8, security: Security) -> Endpoint {
    Endpoint { volume: VOLUME.to_owned(), node: node(id), security }
}

pub(super) fn dial(endpoint: Endpoint, peer: u8) -> Handshake {
    Handshake::dial(endpoint, node(peer), Channel::Data, SESSION).unwrap()
}

pub(super) fn accept(endpoint: Endpoint, peer: u8) -> Handshake {
    Handshake::accept(endpoint, BTreeSet::from([node(peer)]))
}

pub(super) fn taken(handshake: &mut Handshake) -> BytesMut {
    handshake.output().split()
}

pub(super) fn give(handshake: &mut Handshake, bytes: &[u8]) -> Result<Option<Link>, LinkError> {
    handshake.buffer().extend_from_slice(bytes);
    handshake.advance()
}

/// Both ends of a connection, and what went over the wire for it, first what the dialler said.
pub(super) struct Pair {
    pub(super) dialler: Link,
    pub(super) acceptor: Link,
    pub(super) from_dialler: Vec<u8>,
    pub(super) from_acceptor: Vec<u8>,
}

pub(super) fn connect(mut dials: Handshake, mut accepts: Handshake) -> Result<Pair, LinkError> {
    let (mut dialler, mut acceptor) = (None, None);
    let (mut from_dialler, mut from_acceptor) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let bytes = taken(&mut dials);
        from_dialler.extend_from_slice(&bytes);
        acceptor = acceptor.or(give(&mut accepts, &bytes)?);
        let bytes = taken(&mut accepts);
        from_acceptor.extend_from_slice(&bytes);
        dialler = dialler.or(give(&mut dials, &bytes)?);
    }
    match (dialler, acceptor) {
        (Some(dialler), Some(acceptor)) => Ok(Pair { dialler, acceptor, from_dialler, from_acceptor }),
        (dialler, acceptor) => panic!("not over: {dialler:?} {acceptor:?}"),
    }
}

pub(super) fn pair(security: &Security) -> Pair {
    connect(dial(endpoint(0, security.clone()), 1), accept(endpoint(1, security.clone()), 0)).unwrap()
}

pub(super) fn write(id: u64, data: Vec<u8>) -> Message {
    let body = WriteBody::Data(Bytes::from(data));
    Message::Write { write: WireWrite { id, offset: id * 4096, body } }
}

pub(super) fn sealed(link: &mut Link, messages: &[Message]) -> BytesMut {
    let mut wire = BytesMut::new();
    for message in messages {
        link.sealer.push(message);
    }
    link.sealer.seal(&mut wire).unwrap();
    wire
}

/// All that comes out, and whether it ends with an error.
pub(super) fn opened(link: &mut Link, bytes: &[u8]) -> (Vec<Message>, Option<LinkError>) {
    link.opener.buffer().extend_from_slice(bytes);
    let mut messages = Vec::new();
    loop {
        match link.opener.next_message() {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(error) => return (messages, Some(error)),
        }
    }
}
