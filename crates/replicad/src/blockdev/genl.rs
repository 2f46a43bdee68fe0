//! Messages to and from the kernel's NBD client: generic netlink (netlink(7), linux/genetlink.h, linux/nbd-netlink.h), as far
//! as connecting, growing and disconnecting need it. Bytes in, bytes out; native byte order.

use std::os::fd::RawFd;

use bytes::{BufMut, BytesMut};

/// The family of the kernel's NBD client.
pub(super) const NBD_FAMILY: &str = "nbd";
/// Bytes of `nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// Bytes of `genlmsghdr`.
const GENERIC_BYTES: usize = 4;
/// Bytes of `nlattr`.
const ATTRIBUTE_BYTES: usize = 4;
/// What messages and attributes begin at a multiple of, in bytes.
const ALIGNMENT: usize = 4;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const REQUEST_FLAGS: u16 = 1 | 4;
/// `NLMSG_ERROR`, which an acknowledgement is too.
const KIND_ERROR: u16 = 2;
/// `GENL_ID_CTRL`.
const KIND_CONTROL: u16 = 16;
/// `NLA_F_NESTED`, and the bits of an attribute's type that are not its number.
const NESTED: u16 = 1 << 15;
const TYPE_MASK: u16 = !(NESTED | 1 << 14);

mod control {
    pub(super) const GET_FAMILY: u8 = 3;
    pub(super) const VERSION: u8 = 1;
    pub(super) const FAMILY_ID: u16 = 1;
    pub(super) const FAMILY_NAME: u16 = 2;
}

mod nbd {
    pub(super) const VERSION: u8 = 1;
    pub(super) const CONNECT: u8 = 1;
    pub(super) const DISCONNECT: u8 = 2;
    pub(super) const RECONFIGURE: u8 = 3;

    pub(super) const INDEX: u16 = 1;
    pub(super) const SIZE_BYTES: u16 = 2;
    pub(super) const BLOCK_SIZE_BYTES: u16 = 3;
    pub(super) const SERVER_FLAGS: u16 = 5;
    pub(super) const SOCKETS: u16 = 7;
    pub(super) const DEAD_CONN_TIMEOUT: u16 = 8;
    pub(super) const BACKEND_IDENTIFIER: u16 = 10;
    pub(super) const SOCKET_ITEM: u16 = 1;
    pub(super) const SOCKET_FD: u16 = 1;
}

/// What a device is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Connect<'a> {
    /// The connection to the server, negotiated.
    pub(super) socket: RawFd,
    /// Bytes.
    pub(super) size: u64,
    /// Bytes of a logical block.
    pub(super) block: u32,
    /// The export's transmission flags.
    pub(super) flags: u16,
    /// What tells later whose it is.
    pub(super) backend: &'a str,
}

/// One thing that the kernel said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// It was done, or not: an error number.
    Acknowledged(i32),
    /// A message of a family: its attributes.
    Message(&'a [u8]),
}

fn padding(len: usize) -> usize {
    len.next_multiple_of(ALIGNMENT) - len
}

fn attribute(out: &mut BytesMut, number: u16, value: &[u8]) {
    // Callers' values are short: numbers, names, a socket.
    let len = u16::try_from(ATTRIBUTE_BYTES + value.len()).unwrap_or(u16::MAX);
    out.put_u16_ne(len);
    out.put_u16_ne(number);
    out.put_slice(value);
    out.put_bytes(0, padding(value.len()));
}

fn text(out: &mut BytesMut, number: u16, value: &str) {
    attribute(out, number, &[value.as_bytes(), b"\0"].concat());
}

fn message(kind: u16, command: u8, version: u8, attributes: &[u8]) -> BytesMut {
    let len = HEADER_BYTES + GENERIC_BYTES + attributes.len();
    let mut out = BytesMut::with_capacity(len);
    out.put_u32_ne(u32::try_from(len).unwrap_or(u32::MAX));
    out.put_u16_ne(kind);
    out.put_u16_ne(REQUEST_FLAGS);
    // One request at a time on a socket of its own: neither a number nor a port tells anything.
    out.put_u64_ne(0);
    out.put_u8(command);
    out.put_u8(version);
    out.put_u16_ne(0);
    out.put_slice(attributes);
    out
}

/// Asks for a family's number.
pub(super) fn get_family(name: &str) -> BytesMut {
    let mut attributes = BytesMut::new();
    text(&mut attributes, control::FAMILY_NAME, name);
    message(KIND_CONTROL, control::GET_FAMILY, control::VERSION, &attributes)
}

/// Makes a device of a connection: the first that is free. One that is dead is given up at once.
pub(super) fn connect(family: u16, device: &Connect<'_>) -> BytesMut {
    let mut attributes = BytesMut::new();
    attribute(&mut attributes, nbd::SIZE_BYTES, &device.size.to_ne_bytes());
    attribute(&mut attributes, nbd::BLOCK_SIZE_BYTES, &u64::from(device.block).to_ne_bytes());
    attribute(&mut attributes, nbd::SERVER_FLAGS, &u64::from(device.flags).to_ne_bytes());
    attribute(&mut attributes, nbd::DEAD_CONN_TIMEOUT, &0_u64.to_ne_bytes());
    text(&mut attributes, nbd::BACKEND_IDENTIFIER, device.backend);
    let (mut item, mut items) = (BytesMut::new(), BytesMut::new());
    attribute(&mut item, nbd::SOCKET_FD, &device.socket.to_ne_bytes());
    attribute(&mut items, nbd::SOCKET_ITEM | NESTED, &item);
    attribute(&mut attributes, nbd::SOCKETS | NESTED, &items);
    message(family, nbd::CONNECT, nbd::VERSION, &attributes)
}

/// Gives a device another size. The kernel refuses it without the backend that the device has.
pub(super) fn resize(family: u16, index: u32, size: u64, backend: &str) -> BytesMut {
    let mut attributes = BytesMut::new();
    attribute(&mut attributes, nbd::INDEX, &index.to_ne_bytes());
    attribute(&mut attributes, nbd::SIZE_BYTES, &size.to_ne_bytes());
    text(&mut attributes, nbd::BACKEND_IDENTIFIER, backend);
    message(family, nbd::RECONFIGURE, nbd::VERSION, &attributes)
}

/// Ends a device: what is under way on it fails.
pub(super) fn disconnect(family: u16, index: u32) -> BytesMut {
    let mut attributes = BytesMut::new();
    attribute(&mut attributes, nbd::INDEX, &index.to_ne_bytes());
    message(family, nbd::DISCONNECT, nbd::VERSION, &attributes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// What the kernel said in one datagram, in order. It ends where something is not as it should be.
pub(super) fn said(mut bytes: &[u8]) -> Vec<Said<'_>> {
    let mut all = Vec::new();
    while let Some((one, rest)) = first(bytes) {
        all.push(one);
        bytes = rest;
    }
    all
}

fn first(bytes: &[u8]) -> Option<(Said<'_>, &[u8])> {
    let len = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let body = bytes.get(HEADER_BYTES..len)?;
    let one = if u16_at(bytes, 4)? == KIND_ERROR {
        Said::Acknowledged(u32_at(body, 0)?.cast_signed().saturating_neg())
    } else {
        Said::Message(body.get(GENERIC_BYTES..)?)
    };
    Some((one, bytes.get(len.next_multiple_of(ALIGNMENT)..).unwrap_or_default()))
}

/// The value of the first attribute with this number.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(ATTRIBUTE_BYTES..len)?;
        if u16_at(attributes, 2)? & TYPE_MASK == wanted {
            return Some(value);
        }
        attributes = attributes.get(len.next_multiple_of(ALIGNMENT)..)?;
    }
}

/// The family's number, from the attributes of the answer.
pub(super) fn family_id(attributes: &[u8]) -> Option<u16> {
    u16_at(find(attributes, control::FAMILY_ID)?, 0)
}

/// Which device it became, from the attributes of the answer.
pub(super) fn index(attributes: &[u8]) -> Option<u32> {
    u32_at(find(attributes, nbd::INDEX)?, 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]
    use super::*;

    fn only_message(bytes: &[u8]) -> &[u8] {
        match said(bytes)[..] {
            [Said::Message(attributes)] => attributes,
            ref other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_device_is_described_as_the_kernel_reads_it() {
        let device = Connect { socket: 7, size: 1 << 33, block: 512, flags: 0x12d, backend: "me" };
        let bytes = connect(31, &device);
        assert_eq!(u32_at(&bytes, 0), u32::try_from(bytes.len()).ok());
        assert_eq!((u16_at(&bytes, 4), u16_at(&bytes, 6)), (Some(31), Some(5)));
        assert_eq!(bytes[16..20], [1, 1, 0, 0], "CONNECT of version 1");
        let attributes = only_message(&bytes);
        let number = |number| u64::from_ne_bytes(find(attributes, number).unwrap().try_into().unwrap());
        assert_eq!([number(2), number(3), number(5), number(8)], [1 << 33, 512, 0x12d, 0]);
        assert_eq!(find(attributes, 10), Some(&b"me\0"[..]));
        assert_eq!(find(attributes, 4), None, "requests that wait for quorum do not time out");
        let item = find(find(attributes, 7).unwrap(), 1).unwrap();
        assert_eq!(find(item, 1), Some(&7_u32.to_ne_bytes()[..]));
    }

    #[test]
    fn a_device_is_named_by_its_index() {
        for (bytes, command) in [(disconnect(31, 4), 2), (resize(31, 4, 99, "me"), 3)] {
            assert_eq!(bytes[16], command);
            assert_eq!(index(only_message(&bytes)), Some(4));
        }
    }

    #[test]
    fn answers_are_taken_apart() {
        // A family's description as the kernel sends it, and the acknowledgement of something refused, in one datagram.
        let mut attributes = BytesMut::new();
        text(&mut attributes, control::FAMILY_NAME, NBD_FAMILY);
        attribute(&mut attributes, control::FAMILY_ID, &31_u16.to_ne_bytes());
        let mut bytes = message(KIND_CONTROL, 1, 2, &attributes);
        bytes.put_u32_ne(36);
        bytes.put_u16_ne(KIND_ERROR);
        bytes.put_bytes(0, 10);
        bytes.put_i32_ne(-16);
        bytes.put_bytes(0, 16);
        let all = said(&bytes);
        assert_eq!(all, [Said::Message(&attributes), Said::Acknowledged(16)]);
        assert_eq!(family_id(&attributes), Some(31));
        for len in 0..bytes.len() {
            assert!(said(&bytes[..len]).len() < 2, "cut off after {len} bytes");
        }
        assert_eq!(find(&[0; 8], 1), None, "an attribute that is shorter than its head");
    }
}
