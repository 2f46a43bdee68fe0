//! The first 16 bytes of a connection, in the clear: what it is, who dials whom, and for which channel. They are part of
//! what the handshake authenticates.
//!
//! `magic u32 | version u8 | security u8 | from u8 | to u8 | channel u8 | zero [7]`

use replica::NodeId;
use replica::wire::Channel;

use crate::error::LinkError;

pub(crate) const PREAMBLE_BYTES: usize = 16;
const MAGIC: [u8; 4] = *b"hRPL";
/// Changes whenever a byte of handshake or record has another meaning.
const LINK_VERSION: u8 = 1;

/// Who dials whom, how, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Preamble {
    pub(crate) protected: bool,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) channel: Channel,
}

impl Preamble {
    pub(crate) fn to_bytes(self) -> [u8; PREAMBLE_BYTES] {
        let mut bytes = [0; PREAMBLE_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = LINK_VERSION;
        bytes[5] = u8::from(self.protected);
        bytes[6] = self.from.get();
        bytes[7] = self.to.get();
        bytes[8] = match self.channel {
            Channel::Data => 0,
            Channel::Control => 1,
        };
        bytes
    }

    /// Takes exactly [`PREAMBLE_BYTES`]; every byte must be one that [`Self::to_bytes`] writes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, LinkError> {
        let bytes: [u8; PREAMBLE_BYTES] = bytes.try_into().map_err(|_| LinkError::NotALink)?;
        let protected = match bytes[5] {
            0 => false,
            1 => true,
            _ => return Err(LinkError::NotALink),
        };
        let channel = match bytes[8] {
            0 => Channel::Data,
            1 => Channel::Control,
            _ => return Err(LinkError::NotALink),
        };
        let node = |id: u8| NodeId::new(id).ok_or(LinkError::NotALink);
        let preamble = Self { protected, from: node(bytes[6])?, to: node(bytes[7])?, channel };
        if preamble.to_bytes() == bytes { Ok(preamble) } else { Err(LinkError::NotALink) }
    }
}
