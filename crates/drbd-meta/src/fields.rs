//! Big-endian fields at fixed places of a block.

use crate::layout::BLOCK_BYTES;

/// One 4 KiB block of metadata.
pub(crate) type Block = [u8; BLOCK_BYTES];

/// The block at the beginning of the bytes; `None` when they are too short.
pub(crate) fn block(bytes: &[u8]) -> Option<&Block> {
    bytes.first_chunk()
}

// All places are constants below `BLOCK_BYTES`; a wrong one would fail every test.

fn array<const N: usize>(block: &Block, at: usize) -> [u8; N] {
    let mut taken = [0; N];
    taken.copy_from_slice(&block[at..at + N]);
    taken
}

pub(crate) fn u16_at(block: &Block, at: usize) -> u16 {
    u16::from_be_bytes(array(block, at))
}

pub(crate) fn u32_at(block: &Block, at: usize) -> u32 {
    u32::from_be_bytes(array(block, at))
}

pub(crate) fn i32_at(block: &Block, at: usize) -> i32 {
    i32::from_be_bytes(array(block, at))
}

pub(crate) fn u64_at(block: &Block, at: usize) -> u64 {
    u64::from_be_bytes(array(block, at))
}

pub(crate) fn put(block: &mut Block, at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}
