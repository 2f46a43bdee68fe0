//! The bitmap: which 4 KiB blocks differ, or may differ, from those of each peer.
//!
//! On disk the slots of all peers are interleaved by words of 32 bits, little-endian: word 0 of slot 0, word 0 of slot
//! 1, …, word 1 of slot 0, … A slot's bit `n` is bit `n % 32` of its word `n / 32`. It is kept here as it lies on disk,
//! together with the pages that were changed since they were last written.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::layout::{BLOCK_BYTES, EXTENT_BYTES, Layout};
use crate::write::Write;

/// Bytes of a word.
const WORD_BYTES: usize = 4;
/// Bits of a word.
const WORD_BITS: u64 = 32;
/// Blocks in one extent of the activity log.
const BLOCKS_PER_EXTENT: u64 = EXTENT_BYTES / BLOCK_BYTES as u64;
/// Most pages in one write.
const PAGES_PER_WRITE: usize = 256;

/// Why bytes are no bitmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BitmapError {
    /// Not as many bytes as the layout has for it.
    #[error("the bitmap has {expected} bytes on this device, not {found}")]
    Length {
        /// Bytes that were given.
        found: usize,
        /// Bytes that it has.
        expected: u64,
    },
    /// Larger than memory can address.
    #[error("a bitmap of {0} bytes does not fit into memory")]
    TooLarge(u64),
}

/// The bitmap of a device, all slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    layout: Layout,
    bytes: Vec<u8>,
    changed: BTreeSet<usize>,
}

impl Bitmap {
    /// One without any bit set. Nothing counts as changed.
    ///
    /// # Errors
    /// When it would not fit into memory.
    pub fn new(layout: &Layout) -> Result<Self, BitmapError> {
        let bytes = usize::try_from(layout.bitmap_bytes())
            .map_err(|_| BitmapError::TooLarge(layout.bitmap_bytes()))?;
        Ok(Self { layout: *layout, bytes: vec![0; bytes], changed: BTreeSet::new() })
    }

    /// The one in these bytes, read at [`Layout::bitmap_at`].
    ///
    /// # Errors
    /// When they are not as many as [`Layout::bitmap_bytes`].
    pub fn from_bytes(layout: &Layout, bytes: Vec<u8>) -> Result<Self, BitmapError> {
        let expected = layout.bitmap_bytes();
        if bytes.len() as u64 != expected {
            return Err(BitmapError::Length { found: bytes.len(), expected });
        }
        Ok(Self { layout: *layout, bytes, changed: BTreeSet::new() })
    }

    /// As it lies on disk.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Blocks per slot.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.layout.data_blocks()
    }

    /// Whether a block's bit is set. Blocks and slots that do not exist have none.
    #[must_use]
    pub fn get(&self, slot: u8, block: u64) -> bool {
        self.word_at(slot, block / WORD_BITS)
            .is_some_and(|at| block < self.blocks() && self.word(at) & 1 << (block % WORD_BITS) != 0)
    }

    /// Sets the bits of the blocks. Returns how many were not set before. What does not exist is left out.
    pub fn set(&mut self, slot: u8, blocks: Range<u64>) -> u64 {
        self.change(slot, blocks, |word, mask| word | mask)
    }

    /// Clears the bits of the blocks. Returns how many were set before. What does not exist is left out.
    pub fn clear(&mut self, slot: u8, blocks: Range<u64>) -> u64 {
        self.change(slot, blocks, |word, mask| word & !mask)
    }

    /// Sets, for every slot, the bits of all blocks of an extent of the activity log. Returns how many were not set.
    pub fn set_extent(&mut self, extent: u32) -> u64 {
        let first = u64::from(extent) * BLOCKS_PER_EXTENT;
        (0..self.layout.peers()).map(|slot| self.set(slot, first..first + BLOCKS_PER_EXTENT)).sum()
    }

    /// Replaces the bits of a slot from block `first` (a multiple of 32) on: bit `n` of the words given, little-endian, is
    /// block `first + n`. What does not exist is left out.
    pub fn replace(&mut self, slot: u8, first: u64, words: &[u8]) {
        for (index, word) in (first / WORD_BITS..).zip(words.chunks_exact(WORD_BYTES)) {
            let Some(at) = self.word_at(slot, index) else { return };
            let start = index * WORD_BITS;
            if start >= self.blocks() {
                return;
            }
            let new = word.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
            let new = new & mask(start, &(start..self.blocks()));
            if self.word(at) != new {
                self.bytes[at..at + WORD_BYTES].copy_from_slice(&new.to_le_bytes());
                self.changed.insert(at / BLOCK_BYTES);
            }
        }
    }

    /// How many bits of a slot are set.
    #[must_use]
    pub fn count(&self, slot: u8) -> u64 {
        self.words(slot).map(|(_, word)| u64::from(word.count_ones())).sum()
    }

    /// The set blocks of a slot as ranges, in order, none touching the next.
    pub fn dirty(&self, slot: u8) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut from = 0;
        std::iter::from_fn(move || {
            let start = self.next(slot, from, true)?;
            let end = self.next(slot, start, false).unwrap_or_else(|| self.blocks());
            from = end;
            Some(start..end)
        })
    }

    /// The first block from `from` on whose bit is set (or not set).
    #[must_use]
    pub fn next(&self, slot: u8, from: u64, set: bool) -> Option<u64> {
        let mut block = from;
        while block < self.blocks() {
            let word = self.word(self.word_at(slot, block / WORD_BITS)?);
            let word = if set { word } else { !word };
            let rest = word >> (block % WORD_BITS);
            if rest != 0 {
                let found = block + u64::from(rest.trailing_zeros());
                return (found < self.blocks()).then_some(found);
            }
            block = (block / WORD_BITS + 1) * WORD_BITS;
        }
        None
    }

    /// Sets in slot `to` all bits that are set in slot `from`. Returns how many were not set.
    pub fn copy(&mut self, from: u8, to: u8) -> u64 {
        let ranges: Vec<Range<u64>> = self.dirty(from).collect();
        ranges.into_iter().map(|range| self.set(to, range)).sum()
    }

    /// The pages that were changed since this was last called, to be written; neighbours in one piece.
    pub fn take_writes(&mut self) -> Vec<Write> {
        let mut writes: Vec<Write> = Vec::new();
        for page in std::mem::take(&mut self.changed) {
            let data = &self.bytes[page * BLOCK_BYTES..(page + 1) * BLOCK_BYTES];
            let offset = self.layout.bitmap_at() + (page * BLOCK_BYTES) as u64;
            match writes.last_mut() {
                Some(Write::Data { offset: before, bytes })
                    if *before + bytes.len() as u64 == offset
                        && bytes.len() < PAGES_PER_WRITE * BLOCK_BYTES =>
                {
                    bytes.extend_from_slice(data);
                }
                _ => writes.push(Write::Data { offset, bytes: data.to_vec() }),
            }
        }
        writes
    }

    /// Where in the bytes a slot's word is.
    fn word_at(&self, slot: u8, word: u64) -> Option<usize> {
        let peers = self.layout.peers();
        let index = usize::try_from(word * u64::from(peers) + u64::from(slot)).ok()?;
        let at = index.checked_mul(WORD_BYTES)?;
        (slot < peers && at + WORD_BYTES <= self.bytes.len()).then_some(at)
    }

    fn word(&self, at: usize) -> u32 {
        self.bytes[at..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
    }

    fn words(&self, slot: u8) -> impl Iterator<Item = (u64, u32)> + '_ {
        let blocks = self.blocks();
        (0..blocks.div_ceil(WORD_BITS)).filter_map(move |index| {
            let word = self.word(self.word_at(slot, index)?);
            let first = index * WORD_BITS;
            Some((first, word & mask(first, &(first..blocks))))
        })
    }

    fn change(&mut self, slot: u8, blocks: Range<u64>, with: impl Fn(u32, u32) -> u32) -> u64 {
        let blocks = blocks.start..blocks.end.min(self.blocks());
        let mut changed = 0;
        let mut first = blocks.start / WORD_BITS * WORD_BITS;
        while first < blocks.end {
            let Some(at) = self.word_at(slot, first / WORD_BITS) else { break };
            let before = self.word(at);
            let after = with(before, mask(first, &blocks));
            if before != after {
                self.bytes[at..at + WORD_BYTES].copy_from_slice(&after.to_le_bytes());
                self.changed.insert(at / BLOCK_BYTES);
                changed += u64::from((before ^ after).count_ones());
            }
            first += WORD_BITS;
        }
        changed
    }
}

/// The bits of the blocks that are in the word which begins with the block `first`.
fn mask(first: u64, blocks: &Range<u64>) -> u32 {
    let bit = |block: u64| block.saturating_sub(first).min(WORD_BITS);
    let below = |bits: u64| if bits == WORD_BITS { u32::MAX } else { (1 << bits) - 1 };
    below(bit(blocks.end)) & !below(bit(blocks.start))
}
