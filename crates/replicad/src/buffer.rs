//! Memory that may be handed to a disk directly: aligned buffers.

use bytes::{Buf, BytesMut};

/// What addresses are aligned to, in bytes: the largest logical block there is.
pub const ALIGNMENT: usize = 4096;

/// Zeroed memory of `len` bytes, aligned.
#[must_use]
pub fn aligned(len: usize) -> BytesMut {
    let mut bytes = BytesMut::zeroed(len + ALIGNMENT);
    let ahead = bytes.as_ptr().align_offset(ALIGNMENT);
    // At most ALIGNMENT - 1 for bytes.
    bytes.advance(ahead.min(ALIGNMENT));
    bytes.truncate(len);
    bytes
}

/// The same bytes in aligned memory.
#[must_use]
pub fn copied(data: &[u8]) -> BytesMut {
    let mut bytes = aligned(data.len());
    bytes.copy_from_slice(data);
    bytes
}

/// Whether memory may be handed to a disk whose logical blocks have so many bytes.
#[must_use]
pub fn is_aligned(data: &[u8], block: usize) -> bool {
    data.as_ptr().addr().is_multiple_of(block) && data.len().is_multiple_of(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_length_the_memory_is_aligned_and_as_long_as_asked() {
        for len in [0, 1, 511, 512, 4096, 5000, 1 << 20] {
            let bytes = aligned(len);
            assert_eq!(bytes.len(), len);
            assert!(bytes.as_ptr().addr().is_multiple_of(ALIGNMENT), "{len}");
        }
        let copy = copied(&[7; 512]);
        assert!(is_aligned(&copy, 512) && copy.iter().all(|byte| *byte == 7));
        assert!(!is_aligned(&copy[1..], 1 << 9));
    }
}
