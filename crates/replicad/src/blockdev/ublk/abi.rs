//! The ublk driver's user interface as bytes (linux/ublk_cmd.h; Documentation/block/ublk.rst), as far as one device with one
//! queue needs it. Native byte order. Pure.

use rustix::ioctl::opcode;

use crate::requests::Wanted;

/// Requests that the kernel may have under way on a device.
pub(super) const DEPTH: u16 = 128;
/// Most data of one request, in bytes.
pub(super) const MAX_DATA_BYTES: u32 = 1 << 20;
/// Most bytes that one request discards or zeroes: they are handed in piece by piece.
const MAX_ZERO_BYTES: u32 = 1 << 30;
/// What the kernel is told that requests should be multiples of, in bytes, as a power of two.
const PREFERRED_SHIFT: u8 = 12;
/// The unit of all places and lengths, whatever the logical block, in bytes.
const SECTOR_BYTES: u64 = 512;
/// What kernels can enlarge a device that is in use, in words.
pub(crate) const GROWING_SINCE: &str = "Linux 6.16";

/// `UBLK_F_CMD_IOCTL_ENCODE`: commands are numbered as here.
const F_CMD_IOCTL_ENCODE: u64 = 1 << 6;
/// `UBLK_F_USER_COPY`: data is read from and written to the character device, into and from any memory.
const F_USER_COPY: u64 = 1 << 7;
/// `UBLK_F_UPDATE_SIZE`: a device can grow.
const F_UPDATE_SIZE: u64 = 1 << 10;
/// What a kernel has to have (Linux 6.5).
const NEEDED_FEATURES: u64 = F_CMD_IOCTL_ENCODE | F_USER_COPY;

/// Bytes of `ublksrv_ctrl_cmd`.
pub(super) const CONTROL_BYTES: usize = 32;
/// Bytes of `ublksrv_ctrl_dev_info`.
const INFO_BYTES: usize = 64;
/// Bytes of `ublk_params`, up to and with those for discards.
const PARAMS_BYTES: usize = 60;
/// Bytes of `ublksrv_io_cmd`.
pub(super) const IO_BYTES: usize = 16;
/// Bytes of `ublksrv_io_desc`.
pub(super) const DESCRIPTOR_BYTES: usize = 24;

type Control = [u8; CONTROL_BYTES];

/// Commands to the driver.
pub(super) mod command {
    use super::{Control, opcode};

    pub(in super::super) const GET_INFO: u32 = opcode::read::<Control>(b'u', 0x02);
    pub(in super::super) const ADD: u32 = opcode::read_write::<Control>(b'u', 0x04);
    pub(in super::super) const DELETE: u32 = opcode::read_write::<Control>(b'u', 0x05);
    pub(in super::super) const START: u32 = opcode::read_write::<Control>(b'u', 0x06);
    pub(in super::super) const STOP: u32 = opcode::read_write::<Control>(b'u', 0x07);
    pub(in super::super) const SET_PARAMS: u32 = opcode::read_write::<Control>(b'u', 0x08);
    pub(in super::super) const GET_FEATURES: u32 = opcode::read::<Control>(b'u', 0x13);
    pub(in super::super) const UPDATE_SIZE: u32 = opcode::read_write::<Control>(b'u', 0x15);
}

/// Commands to a device: the first request, please; and: this is the answer, the next one, please.
pub(super) const FETCH: u32 = opcode::read_write::<[u8; IO_BYTES]>(b'u', 0x20);
pub(super) const COMMIT_AND_FETCH: u32 = opcode::read_write::<[u8; IO_BYTES]>(b'u', 0x21);

/// Where the data of a request is, on the character device: `UBLKSRV_IO_BUF_OFFSET`, and `UBLK_TAG_OFF`.
const DATA_OFFSET: u64 = 0x8000_0000;
const TAG_SHIFT: u32 = 25;

/// Of any device.
pub(super) const NO_DEVICE: u32 = u32::MAX;
/// Of no queue: the command is to the device.
const NO_QUEUE: u16 = u16::MAX;

mod operation {
    pub(super) const READ: u32 = 0;
    pub(super) const WRITE: u32 = 1;
    pub(super) const FLUSH: u32 = 2;
    pub(super) const DISCARD: u32 = 3;
    pub(super) const WRITE_ZEROES: u32 = 5;
    /// The bits of a request's first word that say which; the others are flags.
    pub(super) const MASK: u32 = 0xff;
    pub(super) const FUA: u32 = 1 << 13;
    pub(super) const NO_UNMAP: u32 = 1 << 15;
}

fn sectors(bytes: u64) -> u64 {
    bytes / SECTOR_BYTES
}

/// Puts bytes where a structure has them.
fn put<const N: usize>(out: &mut [u8], at: usize, bytes: [u8; N]) {
    out[at..at + N].copy_from_slice(&bytes);
}

fn get<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// A command (`ublksrv_ctrl_cmd`): of which device, memory for what goes in or comes out, and one number.
pub(super) fn control(device: u32, payload: &[u8], number: u64) -> Control {
    let mut out = [0; CONTROL_BYTES];
    put(&mut out, 0, device.to_ne_bytes());
    put(&mut out, 4, NO_QUEUE.to_ne_bytes());
    // The largest has a few dozen bytes.
    put(&mut out, 6, u16::try_from(payload.len()).unwrap_or(0).to_ne_bytes());
    put(&mut out, 8, (payload.as_ptr().expose_provenance() as u64).to_ne_bytes());
    put(&mut out, 16, number.to_ne_bytes());
    out
}

/// What a driver can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Features(u64);

impl Features {
    /// Room for the answer.
    pub(super) fn question() -> Vec<u8> {
        vec![0; 8]
    }

    /// What was answered.
    pub(super) fn decode(answer: &[u8]) -> Self {
        Self(u64::from_ne_bytes(get(answer, 0)))
    }

    /// Whether it is enough.
    pub(super) const fn are_enough(self) -> bool {
        self.0 & NEEDED_FEATURES == NEEDED_FEATURES
    }

    /// Whether a device can grow while it is in use.
    pub(super) const fn growing(self) -> bool {
        self.0 & F_UPDATE_SIZE != 0
    }
}

/// A device (`ublksrv_ctrl_dev_info`), as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Info {
    /// Its number.
    pub(super) id: u32,
    /// Whose it is: what the kernel keeps for whoever serves it (`ublksrv_flags`).
    pub(super) owner: u64,
}

impl Info {
    /// Room for the answer.
    pub(super) fn question() -> Vec<u8> {
        vec![0; INFO_BYTES]
    }

    /// A new device of this owner's, of any number; as far as the driver can do it, one that can grow.
    pub(super) fn new_device(owner: u64, features: Features) -> Vec<u8> {
        let mut out = Self::question();
        put(&mut out, 0, 1_u16.to_ne_bytes());
        put(&mut out, 2, DEPTH.to_ne_bytes());
        put(&mut out, 8, MAX_DATA_BYTES.to_ne_bytes());
        put(&mut out, 12, NO_DEVICE.to_ne_bytes());
        put(&mut out, 24, (NEEDED_FEATURES | (features.0 & F_UPDATE_SIZE)).to_ne_bytes());
        put(&mut out, 32, owner.to_ne_bytes());
        out
    }

    /// What was answered.
    pub(super) fn decode(answer: &[u8]) -> Self {
        Self { id: u32::from_ne_bytes(get(answer, 12)), owner: u64::from_ne_bytes(get(answer, 32)) }
    }
}

/// What a device is like (`ublk_params`): a disk with a cache that can be flushed, of so many bytes and such logical blocks.
pub(super) fn params(size: u64, block: u32) -> Vec<u8> {
    /// `UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_DISCARD`.
    const TYPES: u32 = 1 | 2;
    /// `UBLK_ATTR_VOLATILE_CACHE | UBLK_ATTR_FUA`.
    const ATTRIBUTES: u32 = 1 << 2 | 1 << 3;
    const ZERO_SECTORS: u32 = MAX_ZERO_BYTES / SECTOR_BYTES as u32;
    let mut out = vec![0; PARAMS_BYTES];
    put(&mut out, 0, (PARAMS_BYTES as u32).to_ne_bytes());
    put(&mut out, 4, TYPES.to_ne_bytes());
    put(&mut out, 8, ATTRIBUTES.to_ne_bytes());
    // At most 31.
    let block_shift = u8::try_from(block.trailing_zeros()).unwrap_or(PREFERRED_SHIFT);
    let preferred = block_shift.max(PREFERRED_SHIFT);
    // Logical and physical block, and the best and the smallest good length.
    put(&mut out, 12, [block_shift, preferred, preferred, preferred]);
    put(&mut out, 16, (MAX_DATA_BYTES / SECTOR_BYTES as u32).to_ne_bytes());
    put(&mut out, 24, sectors(size).to_ne_bytes());
    // Discards: what they should be multiples of, how much at a time, zeroes the same, one piece each.
    put(&mut out, 44, (1_u32 << preferred).to_ne_bytes());
    put(&mut out, 48, ZERO_SECTORS.to_ne_bytes());
    put(&mut out, 52, ZERO_SECTORS.to_ne_bytes());
    put(&mut out, 56, 1_u16.to_ne_bytes());
    out
}

/// A size as the driver counts it.
pub(super) fn size_number(size: u64) -> u64 {
    sectors(size)
}

/// A command to a device (`ublksrv_io_cmd`).
pub(super) fn io(tag: u16, result: i32) -> [u8; IO_BYTES] {
    let mut out = [0; IO_BYTES];
    put(&mut out, 2, tag.to_ne_bytes());
    put(&mut out, 4, result.to_ne_bytes());
    out
}

/// Where the data of a request begins on the character device.
pub(super) fn data_offset(tag: u16) -> u64 {
    DATA_OFFSET + (u64::from(tag) << TAG_SHIFT)
}

/// What the kernel wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Something that comes without data.
    Bare(Wanted),
    /// Data, which is to be fetched, is to be written there.
    Write { offset: u64, len: u32, fua: bool },
    /// Nothing that was offered.
    Unknown,
}

/// Reads a request (`ublksrv_io_desc`).
pub(super) fn decode(descriptor: &[u8; DESCRIPTOR_BYTES]) -> Asked {
    let word = u32::from_ne_bytes(get(descriptor, 0));
    if word & operation::MASK == operation::FLUSH {
        // It is of no place: what is said to be one is all ones.
        return Asked::Bare(Wanted::Flush);
    }
    let len = u64::from(u32::from_ne_bytes(get(descriptor, 4))) * SECTOR_BYTES;
    let Some(offset) = u64::from_ne_bytes(get(descriptor, 8)).checked_mul(SECTOR_BYTES) else {
        return Asked::Unknown;
    };
    let fua = word & operation::FUA != 0;
    let data = u32::try_from(len).ok().filter(|len| *len <= MAX_DATA_BYTES);
    match (word & operation::MASK, data) {
        (operation::READ, Some(_)) => Asked::Bare(Wanted::Read { offset, len }),
        (operation::WRITE, Some(len)) => Asked::Write { offset, len, fua },
        (operation::DISCARD, _) => Asked::Bare(Wanted::Zero { offset, len, may_trim: true, fua }),
        (operation::WRITE_ZEROES, _) => {
            Asked::Bare(Wanted::Zero { offset, len, may_trim: word & operation::NO_UNMAP == 0, fua })
        }
        _ => Asked::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_the_kernels_numbers() {
        // As the C preprocessor has them from linux/ublk_cmd.h, on x86-64.
        #[cfg(target_arch = "x86_64")]
        assert_eq!(
            [
                command::ADD,
                command::DELETE,
                command::GET_INFO,
                command::GET_FEATURES,
                FETCH,
                COMMIT_AND_FETCH
            ],
            [0xc020_7504, 0xc020_7505, 0x8020_7502, 0x8020_7513, 0xc010_7520, 0xc010_7521]
        );
        let payload = [0; 8];
        let command = control(7, &payload, 9);
        assert_eq!(u32::from_ne_bytes(get(&command, 0)), 7);
        assert_eq!(u16::from_ne_bytes(get(&command, 4)), u16::MAX, "to the device, not to a queue");
        assert_eq!(u16::from_ne_bytes(get(&command, 6)), 8);
        assert_eq!(u64::from_ne_bytes(get(&command, 8)), payload.as_ptr().addr() as u64);
        assert_eq!(u64::from_ne_bytes(get(&command, 16)), 9);
    }

    #[test]
    fn a_device_is_described_as_the_kernel_lays_it_out() {
        let features = Features::decode(&(NEEDED_FEATURES | 1 << 8).to_ne_bytes());
        assert!(features.are_enough() && !features.growing());
        assert!(!Features::decode(&F_CMD_IOCTL_ENCODE.to_ne_bytes()).are_enough());
        let device = Info::new_device(0x1234, features);
        assert_eq!(device.len(), INFO_BYTES);
        assert_eq!(Info::decode(&device), Info { id: u32::MAX, owner: 0x1234 });
        assert_eq!(u64::from_ne_bytes(get(&device, 24)), NEEDED_FEATURES, "only what the driver has");
        for (block, shifts) in [(512, [9, 12, 12, 12]), (4096, [12; 4])] {
            let params = params(1 << 30, block);
            assert_eq!(get::<4>(&params, 12), shifts);
            assert_eq!(
                u64::from_ne_bytes(get(&params, 24)),
                1 << 21,
                "sectors have 512 bytes, whatever the block"
            );
        }
    }

    fn descriptor(word: u32, sectors: u32, start: u64) -> [u8; DESCRIPTOR_BYTES] {
        let mut out = [0; DESCRIPTOR_BYTES];
        put(&mut out, 0, word.to_ne_bytes());
        put(&mut out, 4, sectors.to_ne_bytes());
        put(&mut out, 8, start.to_ne_bytes());
        out
    }

    #[test]
    fn requests_are_read_as_the_kernel_lays_them_out() {
        let asked = |word, sectors, start| decode(&descriptor(word, sectors, start));
        let bare = |wanted| Asked::Bare(wanted);
        assert_eq!(asked(operation::READ, 8, 16), bare(Wanted::Read { offset: 8192, len: 4096 }));
        assert_eq!(
            asked(operation::WRITE | operation::FUA, 8, 0),
            Asked::Write { offset: 0, len: 4096, fua: true }
        );
        assert_eq!(asked(operation::FLUSH, 0, u64::MAX), bare(Wanted::Flush));
        let zero = |may_trim| bare(Wanted::Zero { offset: 512, len: 1 << 30, may_trim, fua: false });
        assert_eq!(asked(operation::DISCARD, 1 << 21, 1), zero(true));
        assert_eq!(asked(operation::WRITE_ZEROES, 1 << 21, 1), zero(true));
        assert_eq!(asked(operation::WRITE_ZEROES | operation::NO_UNMAP, 1 << 21, 1), zero(false));
        for (word, sectors, start) in [
            (operation::WRITE, 1 << 21, 0),
            (operation::READ, (MAX_DATA_BYTES / 512) + 1, 0),
            (operation::READ, 1, u64::MAX),
            (15, 1, 0),
        ] {
            assert_eq!(asked(word, sectors, start), Asked::Unknown, "{word:#x} of {sectors} at {start}");
        }
    }

    #[test]
    fn data_of_different_requests_is_in_different_places() {
        assert_eq!(data_offset(0), 0x8000_0000);
        assert!(data_offset(1) - data_offset(0) >= u64::from(MAX_DATA_BYTES));
        let command = io(3, -5);
        assert_eq!(
            (get::<2>(&command, 2), get::<4>(&command, 4)),
            (3_u16.to_ne_bytes(), (-5_i32).to_ne_bytes())
        );
    }
}
