//! Contents that are recognised when they are in the wrong place.

/// `size` bytes of which every third MiB is a hole, the rest numbered by 8-byte words.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    let mut data = vec![0; size];
    for (index, word) in data.chunks_exact_mut(8).enumerate() {
        if (index >> 17) % 3 != 2 {
            word.copy_from_slice(&(index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        }
    }
    data
}
