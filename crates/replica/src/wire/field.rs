//! How single fields travel: big-endian integers, length-bounded lists and byte strings.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::generation::{Generation, Generations, HISTORY_LEN};
use crate::ids::{BlockRange, MAX_NODE_ID, NodeId};
use crate::state::{DiskState, Role};

/// Why bytes from a peer are no message. The connection is dropped; nothing else is harmed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// Not our protocol at all.
    #[error(
        "the peer's frame begins with {0:#010x}, which is not this protocol; check what listens on that port"
    )]
    Magic(u32),
    /// A version this program does not speak.
    #[error("the peer speaks version {0} of the protocol; bring both nodes to the same release")]
    Version(u8),
    /// A kind of message this program does not know.
    #[error("the peer sent a message of the unknown kind {0}")]
    Kind(u8),
    /// Longer than any message may be.
    #[error("the peer announced a message of {announced} bytes, more than the {limit} allowed")]
    TooLong {
        /// What it announced.
        announced: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The bytes changed on the way.
    #[error(
        "a message from the peer was corrupted on the way (CRC32C {found:#010x}, expected {expected:#010x})"
    )]
    Checksum {
        /// Over what arrived.
        found: u32,
        /// In the frame.
        expected: u32,
    },
    /// A field ends after the message does.
    #[error("a message from the peer ends in the middle of a field")]
    Short,
    /// Bytes are left after the last field.
    #[error("a message from the peer has {0} bytes after its last field")]
    Trailing(usize),
    /// A field has a value it cannot have.
    #[error("a message from the peer has an impossible {0}")]
    Value(&'static str),
}

/// Something that travels in a message.
pub(super) trait Field: Sized {
    /// Appends it.
    fn put(&self, out: &mut BytesMut);
    /// Takes it off the front.
    fn get(from: &mut Bytes) -> Result<Self, WireError>;
}

macro_rules! integer {
    ($($type:ty, $put:ident, $get:ident);+) => { $(
        impl Field for $type {
            fn put(&self, out: &mut BytesMut) {
                out.$put(*self);
            }
            fn get(from: &mut Bytes) -> Result<Self, WireError> {
                if from.remaining() < size_of::<$type>() {
                    return Err(WireError::Short);
                }
                Ok(from.$get())
            }
        }
    )+ };
}
integer!(u8, put_u8, get_u8; u32, put_u32, get_u32; u64, put_u64, get_u64; u128, put_u128, get_u128);

impl Field for bool {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(*self));
    }
    fn get(from: &mut Bytes) -> Result<Self, WireError> {
        match u8::get(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Value("truth value")),
        }
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, out: &mut BytesMut) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn get(from: &mut Bytes) -> Result<Self, WireError> {
        Ok(if bool::get(from)? { Some(T::get(from)?) } else { None })
    }
}

impl<T: Field> Field for Box<T> {
    fn put(&self, out: &mut BytesMut) {
        (**self).put(out);
    }
    fn get(from: &mut Bytes) -> Result<Self, WireError> {
        T::get(from).map(Self::new)
    }
}

impl Field for Bytes {
    fn put(&self, out: &mut BytesMut) {
        out.put_u32(u32::try_from(self.len()).unwrap_or(u32::MAX));
        out.put_slice(self);
    }
    fn get(from: &mut Bytes) -> Result<Self, WireError> {
        let len = u32::get(from)? as usize;
        if from.remaining() < len {
            return Err(WireError::Short);
        }
        Ok(from.split_to(len))
    }
}

impl Field for NodeId {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.get());
    }
    fn get(from: &mut Bytes) -> Result<Self, WireError> {
        Self::new(u8::get(from)?).ok_or(WireError::Value("node id"))
    }
}

impl Field for Role {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.code());
    }
    fn get(from: &mut Bytes) -> Result<Self, WireError> {
        Self::from_code(u8::get(from)?).ok_or(WireError::Value("role"))
    }
}

impl Field for DiskState {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.code());
    }
    fn get(from: &mut Bytes) -> Result<Self, WireError> {
        Self::from_code(u8::get(from)?).ok_or(WireError::Value("disk state"))
    }
}

impl Field for Generation {
    fn put(&self, out: &mut BytesMut) {
        out.put_u64(self.0);
    }
    fn get(from: &mut Bytes) -> Result<Self, WireError> {
        u64::get(from).map(Self)
    }
}

impl Field for Generations {
    fn put(&self, out: &mut BytesMut) {
        self.current.put(out);
        out.put_u8(u8::try_from(self.bitmap.len()).unwrap_or(u8::MAX));
        for (peer, generation) in &self.bitmap {
            peer.put(out);
            generation.put(out);
        }
        out.put_u8(u8::try_from(self.history.len()).unwrap_or(u8::MAX));
        for generation in &self.history {
            generation.put(out);
        }
    }
    fn get(from: &mut Bytes) -> Result<Self, WireError> {
        let current = Generation::get(from)?;
        let peers = u8::get(from)?;
        if peers > MAX_NODE_ID {
            return Err(WireError::Value("number of bitmap slots"));
        }
        let mut bitmap = BTreeMap::new();
        for _ in 0..peers {
            if bitmap.insert(<NodeId as Field>::get(from)?, Generation::get(from)?).is_some() {
                return Err(WireError::Value("bitmap slot: one peer has two"));
            }
        }
        let len = usize::from(u8::get(from)?);
        if len > HISTORY_LEN {
            return Err(WireError::Value("length of the history"));
        }
        let history = (0..len).map(|_| Generation::get(from)).collect::<Result<_, _>>()?;
        Ok(Self { current, bitmap, history })
    }
}

impl Field for BlockRange {
    fn put(&self, out: &mut BytesMut) {
        self.start.put(out);
        self.end.put(out);
    }
    fn get(from: &mut Bytes) -> Result<Self, WireError> {
        let range = Self { start: u64::get(from)?, end: u64::get(from)? };
        if range.start > range.end { Err(WireError::Value("range of blocks")) } else { Ok(range) }
    }
}
