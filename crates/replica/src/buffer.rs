//! Memory that may be handed to a disk directly: aligned buffers, used again and again.
//!
//! A large buffer that is new costs more than what is done with it: the kernel has to find and clear its pages. What is let
//! go of is kept, by size, for the next one, by the thread that lets go; up to `MAX_KEPT_BYTES`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use bytes::Bytes;

/// What addresses are aligned to, in bytes: the largest logical block there is.
pub const ALIGNMENT: usize = 4096;
/// Memory that a thread keeps for later, in bytes.
const MAX_KEPT_BYTES: usize = 16 << 20;

/// Buffers of one thread that nobody uses.
#[derive(Default)]
struct Kept {
    by_size: BTreeMap<usize, Vec<Vec<u8>>>,
    bytes: usize,
}

impl Kept {
    fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        let memory = self.by_size.get_mut(&size)?.pop()?;
        self.bytes -= size;
        Some(memory)
    }

    fn keep(&mut self, memory: Vec<u8>) {
        let size = memory.len();
        if size > MAX_KEPT_BYTES {
            return;
        }
        if self.bytes + size > MAX_KEPT_BYTES {
            // What is wanted now is of another size.
            self.by_size.clear();
            self.bytes = 0;
        }
        self.bytes += size;
        self.by_size.entry(size).or_default().push(memory);
    }
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// Aligned memory. A new one holds anything: whoever gets it fills it before he hands it on.
#[derive(Debug)]
pub struct Buffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// Memory of so many bytes, with anything in it.
    #[must_use]
    pub fn new(len: usize) -> Self {
        // Of few sizes, so that they are found again.
        let size = len.next_multiple_of(ALIGNMENT) + ALIGNMENT;
        // When the thread ends there is nothing kept any more.
        let kept = KEPT.try_with(|kept| kept.borrow_mut().take(size)).ok().flatten();
        let memory = kept.unwrap_or_else(|| vec![0; size]);
        // At most ALIGNMENT - 1 for bytes.
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { memory, start, len }
    }

    /// Zeroes.
    #[must_use]
    pub fn zeroes(len: usize) -> Self {
        let mut buffer = Self::new(len);
        buffer.fill(0);
        buffer
    }

    /// The same bytes in aligned memory.
    #[must_use]
    pub fn copied(data: &[u8]) -> Self {
        let mut buffer = Self::new(data.len());
        buffer.copy_from_slice(data);
        buffer
    }

    /// The same memory, to be shared and not to be changed any more.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        // When the thread ends nothing is kept any more.
        let _ = KEPT.try_with(|kept| kept.borrow_mut().keep(memory));
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
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
            let bytes = Buffer::new(len);
            assert_eq!(bytes.len(), len);
            assert!(bytes.as_ptr().addr().is_multiple_of(ALIGNMENT), "{len}");
        }
        let copy = Buffer::copied(&[7; 512]);
        assert!(is_aligned(&copy, 512) && copy.iter().all(|byte| *byte == 7));
        assert!(!is_aligned(&copy[1..], 1 << 9));
    }

    #[test]
    fn memory_comes_back_once_nobody_has_it_any_more() {
        let mut first = Buffer::new(9000);
        first.fill(7);
        let place = first.as_ptr();
        let shared = first.freeze();
        let part = shared.slice(100..200);
        drop(shared);
        assert_ne!(Buffer::new(9000).as_ptr(), place, "a part of it is still in use");
        assert!(part.iter().all(|byte| *byte == 7));
        drop(part);
        assert_eq!(Buffer::new(9001).as_ptr(), place);
        assert!(Buffer::zeroes(9002).iter().all(|byte| *byte == 0), "what was there before is not seen");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let many: Vec<Buffer> = (0..40).map(|_| Buffer::new(1 << 20)).collect();
        drop(many);
        let kept = KEPT
            .with_borrow(|kept| (kept.bytes, kept.by_size.values().flatten().map(Vec::len).sum::<usize>()));
        assert!(kept.0 <= MAX_KEPT_BYTES && kept.0 == kept.1, "{kept:?}");
    }
}
