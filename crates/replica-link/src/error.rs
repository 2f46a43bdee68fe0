//! Why a connection is given up.

use replica::NodeId;
use replica::wire::WireError;
use thiserror::Error;

/// Why a connection is given up. After any of these it is closed; nothing of it may be used any more.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkError {
    /// What listens or dials there is something else.
    #[error(
        "what is at the other end is no replica of this release; check the address and port, and both releases"
    )]
    NotALink,
    /// One side is protected, the other not.
    #[error(
        "one side was told to work without protection and the other was not; give both the same shared secret, or neither"
    )]
    SecurityDiffers,
    /// It dialled another node.
    #[error("{from} takes this node for {to}; check the node ids and addresses on both")]
    WrongNode {
        /// Who dialled.
        from: NodeId,
        /// Whom it meant.
        to: NodeId,
    },
    /// It is no peer of this volume.
    #[error("{0} is no peer of this volume; check the node ids on both")]
    UnknownPeer(NodeId),
    /// It does not prove that it knows the secret, or it means another volume; or somebody changes what is said.
    #[error("the other end has another shared secret or another volume, or the connection is tampered with")]
    Authentication,
    /// What arrived is not what was sent.
    #[error("what arrived was changed, repeated, left out or put in another order on the way")]
    Tampered,
    /// A record of a length that none has.
    #[error("a record of {0} bytes is announced, which none has")]
    RecordLength(usize),
    /// The keys of this connection have been used as often as they may be.
    #[error("the keys of this connection are used up; a new connection brings new ones")]
    Exhausted,
    /// The cryptography cannot be carried out here at all.
    #[error("the machine cannot carry out the key exchange: {0}")]
    Unavailable(&'static str),
    /// What was protected is no message.
    #[error(transparent)]
    Message(#[from] WireError),
}
