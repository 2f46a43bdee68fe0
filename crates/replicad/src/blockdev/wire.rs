//! The kernel's FUSE protocol, as far as one file needs it: requests decoded, replies encoded. Native byte order.

use bytes::{BufMut, BytesMut};

/// Bytes before every request.
const IN_HEADER_BYTES: usize = 40;
/// Bytes of `fuse_write_in`.
const WRITE_IN_BYTES: usize = 40;
/// The protocol's major version.
const MAJOR: u32 = 7;
/// The minor version that the replies are made for.
const MINOR: u32 = 31;
/// What is wanted of the kernel, where it offers it: asynchronous reads, large writes, asynchronous direct I/O, more
/// pages at a time.
const WANTED_FLAGS: u32 = 1 | 1 << 5 | 1 << 15 | 1 << 22;
/// Most data of one request in bytes.
pub(super) const MAX_DATA_BYTES: u32 = 1 << 20;
/// Requests that the kernel may have under way.
const MAX_BACKGROUND: u16 = 128;
/// Nothing through the page cache, and writes side by side.
const OPEN_FLAGS: u32 = 1 | 1 << 6;
/// How long attributes hold, in seconds: until they are said to have changed. So whose file a loop device rests on can be told
/// also when nobody serves the file any more: the kernel asks for its attributes to tell that (`LOOP_GET_STATUS`).
const ATTRIBUTES_SECONDS: u64 = 10 * 365 * 24 * 3600;
/// `FUSE_NOTIFY_INVAL_INODE`.
const ATTRIBUTES_CHANGED: i32 = 2;
/// The root, which is the file.
const NODE: u64 = 1;
/// A regular file for the administrator.
pub(super) const MODE: u32 = 0o100_600;
const BLOCK_BYTES: u32 = 4096;
/// `FALLOC_FL_KEEP_SIZE`, `FALLOC_FL_PUNCH_HOLE`, `FALLOC_FL_ZERO_RANGE`.
const KEEP_SIZE: u32 = 1;
const PUNCH_HOLE: u32 = 2;
const ZERO_RANGE: u32 = 16;

mod opcode {
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const SETATTR: u32 = 4;
    pub(super) const OPEN: u32 = 14;
    pub(super) const READ: u32 = 15;
    pub(super) const WRITE: u32 = 16;
    pub(super) const STATFS: u32 = 17;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const FSYNC: u32 = 20;
    pub(super) const INIT: u32 = 26;
    pub(super) const INTERRUPT: u32 = 36;
    pub(super) const DESTROY: u32 = 38;
    pub(super) const BATCH_FORGET: u32 = 42;
    pub(super) const FALLOCATE: u32 = 43;
}

/// What the kernel wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call<'a> {
    /// The first word: the minor version, and what it offers.
    Init { flags: u32 },
    /// Attributes of the file.
    Attributes,
    /// Of the file system that it is: without an answer the loop device passes no discards on.
    FileSystem,
    /// Somebody opens it.
    Open,
    /// Somebody has closed it.
    Release,
    /// Data.
    Read { offset: u64, len: u32 },
    /// Data to be written.
    Write { offset: u64, data: &'a [u8] },
    /// Everything to stable storage.
    Sync,
    /// Zeroes, or nothing at all.
    Zero { offset: u64, len: u64, may_trim: bool },
    /// Something that wants no reply.
    Nothing,
    /// Something that one file does not need.
    Unknown,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    /// Its number.
    pub(super) unique: u64,
    /// What.
    pub(super) call: Call<'a>,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes)
}

/// Decodes a request. None: it is too short to be one.
pub(super) fn decode(bytes: &[u8]) -> Option<Asked<'_>> {
    let (code, unique) = (u32_at(bytes, 4)?, u64_at(bytes, 8)?);
    let body = bytes.get(IN_HEADER_BYTES..)?;
    let call = match code {
        opcode::INIT => Call::Init { flags: u32_at(body, 12)? },
        opcode::GETATTR | opcode::SETATTR => Call::Attributes,
        opcode::STATFS => Call::FileSystem,
        opcode::OPEN => Call::Open,
        opcode::RELEASE => Call::Release,
        opcode::READ => Call::Read { offset: u64_at(body, 8)?, len: u32_at(body, 16)? },
        opcode::WRITE => {
            let len = usize::try_from(u32_at(body, 16)?).ok()?;
            let data = body.get(WRITE_IN_BYTES..)?.get(..len)?;
            Call::Write { offset: u64_at(body, 8)?, data }
        }
        opcode::FSYNC => Call::Sync,
        opcode::FALLOCATE => match u32_at(body, 24)? & !KEEP_SIZE {
            mode @ (PUNCH_HOLE | ZERO_RANGE) => {
                let may_trim = mode == PUNCH_HOLE;
                Call::Zero { offset: u64_at(body, 8)?, len: u64_at(body, 16)?, may_trim }
            }
            _ => Call::Unknown,
        },
        opcode::FORGET | opcode::BATCH_FORGET | opcode::INTERRUPT | opcode::DESTROY => Call::Nothing,
        _ => Call::Unknown,
    };
    Some(Asked { unique, call })
}

/// The head of a reply with so many bytes after it, or with an error number.
pub(super) fn head(unique: u64, errno: i32, body: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(16 + body);
    out.put_u32_ne(u32::try_from(16 + body).unwrap_or(u32::MAX));
    out.put_i32_ne(-errno);
    out.put_u64_ne(unique);
    out
}

/// The answer to the first word.
pub(super) fn init(unique: u64, offered: u32) -> BytesMut {
    let mut out = head(unique, 0, 64);
    out.put_u32_ne(MAJOR);
    out.put_u32_ne(MINOR);
    out.put_u32_ne(0);
    out.put_u32_ne(offered & WANTED_FLAGS);
    out.put_u16_ne(MAX_BACKGROUND);
    out.put_u16_ne(MAX_BACKGROUND * 3 / 4);
    out.put_u32_ne(MAX_DATA_BYTES);
    out.put_u32_ne(1);
    out.put_u16_ne(u16::try_from(MAX_DATA_BYTES / BLOCK_BYTES).unwrap_or(u16::MAX));
    out.put_u16_ne(0);
    out.put_bytes(0, 32);
    out
}

/// The file's attributes.
pub(super) fn attributes(unique: u64, size: u64) -> BytesMut {
    let mut out = head(unique, 0, 104);
    out.put_u64_ne(ATTRIBUTES_SECONDS);
    out.put_u64_ne(0);
    out.put_u64_ne(NODE);
    out.put_u64_ne(size);
    out.put_u64_ne(size / 512);
    out.put_bytes(0, 24 + 12);
    out.put_u32_ne(MODE);
    out.put_u32_ne(1);
    out.put_bytes(0, 12);
    out.put_u32_ne(BLOCK_BYTES);
    out.put_u32_ne(0);
    out
}

/// Unasked: the attributes are not what they were. No page of the file is cached, so none is given up.
pub(super) fn attributes_changed() -> BytesMut {
    let mut out = head(0, -ATTRIBUTES_CHANGED, 24);
    out.put_u64_ne(NODE);
    out.put_i64_ne(-1);
    out.put_i64_ne(0);
    out
}

/// The file system.
pub(super) fn file_system(unique: u64, size: u64) -> BytesMut {
    let mut out = head(unique, 0, 80);
    out.put_u64_ne(size / u64::from(BLOCK_BYTES));
    out.put_bytes(0, 32);
    out.put_u32_ne(BLOCK_BYTES);
    out.put_u32_ne(0);
    out.put_u32_ne(BLOCK_BYTES);
    out.put_bytes(0, 28);
    out
}

/// The file is open.
pub(super) fn opened(unique: u64) -> BytesMut {
    let mut out = head(unique, 0, 16);
    out.put_u64_ne(0);
    out.put_u32_ne(OPEN_FLAGS);
    out.put_u32_ne(0);
    out
}

/// So many bytes are written.
pub(super) fn written(unique: u64, bytes: u32) -> BytesMut {
    let mut out = head(unique, 0, 8);
    out.put_u32_ne(bytes);
    out.put_u32_ne(0);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]
    use super::*;

    fn request(code: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; IN_HEADER_BYTES];
        bytes[4..8].copy_from_slice(&code.to_ne_bytes());
        bytes[8..16].copy_from_slice(&77_u64.to_ne_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn requests_are_read_as_the_kernel_lays_them_out() {
        let mut body = [0_u8; WRITE_IN_BYTES].to_vec();
        body[8..16].copy_from_slice(&4096_u64.to_ne_bytes());
        body[16..20].copy_from_slice(&3_u32.to_ne_bytes());
        body.extend_from_slice(b"abc");
        let bytes = request(opcode::WRITE, &body);
        let asked = decode(&bytes).unwrap();
        assert_eq!(asked, Asked { unique: 77, call: Call::Write { offset: 4096, data: b"abc" } });
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None, "a write without all of its data");
        let mut hole = [0_u8; 32];
        hole[16..24].copy_from_slice(&8192_u64.to_ne_bytes());
        hole[24..28].copy_from_slice(&(PUNCH_HOLE | KEEP_SIZE).to_ne_bytes());
        let bytes = request(opcode::FALLOCATE, &hole);
        let zero = Call::Zero { offset: 0, len: 8192, may_trim: true };
        assert_eq!(decode(&bytes).unwrap().call, zero);
        assert_eq!(decode(&request(99, &[])).unwrap().call, Call::Unknown);
        assert_eq!(decode(&[0; 20]), None);
    }

    #[test]
    fn every_reply_says_how_long_it_is() {
        for reply in [
            init(1, u32::MAX),
            file_system(7, 1 << 30),
            attributes(2, 1 << 30),
            attributes_changed(),
            opened(3),
            written(4, 5),
            head(6, 5, 0),
        ] {
            assert_eq!(u32_at(&reply, 0), u32::try_from(reply.len()).ok());
        }
    }
}
