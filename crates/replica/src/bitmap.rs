//! The dirty bitmap of one peer: which 4 KiB blocks may differ from that peer's.
//!
//! The copy here is the truth while the volume runs; the one on disk may have bits too many, never too few where the
//! activity log does not speak for them. The bitmap remembers which of its pages on disk lack a bit that is set here.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};

use crate::ids::{BLOCK_BYTES, BlockRange};

/// Bits in one page of the bitmap on disk: 4 KiB, so 128 MiB of the volume.
pub const PAGE_BITS: u64 = 4096 * 8;
const WORD_BITS: u64 = 64;
const PAGE_WORDS: usize = (PAGE_BITS / WORD_BITS) as usize;

/// One bit per 4 KiB block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    blocks: u64,
    words: Vec<u64>,
    dirty: u64,
    /// Pages with a bit set here that the page on disk does not have.
    stale: BTreeSet<u32>,
}

impl Bitmap {
    /// A clean bitmap for a volume of this many bytes.
    #[must_use]
    pub fn new(volume_bytes: u64) -> Self {
        let blocks = volume_bytes.div_ceil(BLOCK_BYTES);
        let words = vec![0; usize::try_from(blocks.div_ceil(WORD_BITS)).unwrap_or(usize::MAX)];
        Self { blocks, words, dirty: 0, stale: BTreeSet::new() }
    }

    /// The volume has become larger; what is new is dirty.
    pub fn grow(&mut self, volume_bytes: u64) {
        let old = self.blocks;
        self.blocks = volume_bytes.div_ceil(BLOCK_BYTES).max(old);
        let words = usize::try_from(self.blocks.div_ceil(WORD_BITS)).unwrap_or(usize::MAX);
        self.words.resize(words, 0);
        self.set(BlockRange { start: old, end: self.blocks });
    }

    /// How many blocks the volume has.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// How many blocks are dirty.
    #[must_use]
    pub fn dirty(&self) -> u64 {
        self.dirty
    }

    /// Whether the block is dirty.
    #[must_use]
    pub fn is_dirty(&self, block: u64) -> bool {
        self.word(block / WORD_BITS) & (1 << (block % WORD_BITS)) != 0
    }

    /// Marks the blocks dirty; what lies past the end is ignored.
    pub fn set(&mut self, range: BlockRange) {
        for (index, mask) in self.masks(range) {
            let Some(word) = self.words.get_mut(index) else { continue };
            let new = mask & !*word;
            if new != 0 {
                *word |= mask;
                self.dirty += u64::from(new.count_ones());
                self.stale.insert((index / PAGE_WORDS) as u32);
            }
        }
    }

    /// Marks the blocks clean.
    pub fn clear(&mut self, range: BlockRange) {
        for (index, mask) in self.masks(range) {
            let Some(word) = self.words.get_mut(index) else { continue };
            self.dirty -= u64::from((mask & *word).count_ones());
            *word &= !mask;
        }
    }

    /// Marks every block dirty.
    pub fn set_all(&mut self) {
        self.set(BlockRange { start: 0, end: self.blocks });
    }

    /// Marks every block clean.
    pub fn clear_all(&mut self) {
        self.clear(BlockRange { start: 0, end: self.blocks });
    }

    /// The next run of dirty blocks at or after `from`, at most `most` blocks long.
    #[must_use]
    pub fn next_dirty(&self, from: u64, most: u64) -> Option<BlockRange> {
        let mut index = from / WORD_BITS;
        let mut word = self.word(index) & (u64::MAX << (from % WORD_BITS));
        let words = self.words.len() as u64;
        while word == 0 {
            index += 1;
            if index >= words {
                return None;
            }
            word = self.word(index);
        }
        let start = index * WORD_BITS + u64::from(word.trailing_zeros());
        let mut end = start + 1;
        while end < self.blocks && end - start < most && self.is_dirty(end) {
            end += 1;
        }
        Some(BlockRange { start, end })
    }

    /// How many pages it has on disk.
    #[must_use]
    pub fn pages(&self) -> u32 {
        u32::try_from(self.blocks.div_ceil(PAGE_BITS)).unwrap_or(u32::MAX)
    }

    /// One page as bytes: bit `n` of the volume is bit `n % 8` (least significant first) of byte `n / 8`; 4 KiB always.
    #[must_use]
    pub fn page(&self, page: u32) -> Bytes {
        let mut bytes = BytesMut::with_capacity(PAGE_WORDS * 8);
        let first = page as usize * PAGE_WORDS;
        for index in first..first + PAGE_WORDS {
            bytes.put_u64_le(self.words.get(index).copied().unwrap_or(0));
        }
        bytes.freeze()
    }

    /// Adds the dirty blocks of a page of another bitmap (see [`Self::page`]); what lies past the end is ignored.
    pub fn merge_page(&mut self, page: u32, bytes: &[u8]) {
        let first = u64::from(page) * PAGE_BITS;
        for (index, chunk) in bytes.chunks(8).enumerate() {
            let mut raw = [0u8; 8];
            raw[..chunk.len()].copy_from_slice(chunk);
            let mut word = u64::from_le_bytes(raw);
            while word != 0 {
                let block = first + index as u64 * WORD_BITS + u64::from(word.trailing_zeros());
                let run = u64::from((word >> word.trailing_zeros()).trailing_ones());
                self.set(BlockRange { start: block, end: block + run });
                word &= if run + block % WORD_BITS >= WORD_BITS {
                    0
                } else {
                    u64::MAX << (block % WORD_BITS + run)
                };
            }
        }
    }

    /// Whether the page has any dirty block.
    #[must_use]
    pub fn page_is_clean(&self, page: u32) -> bool {
        let first = page as usize * PAGE_WORDS;
        self.words.iter().skip(first).take(PAGE_WORDS).all(|word| *word == 0)
    }

    /// The page that speaks for this block.
    #[must_use]
    pub fn page_of(block: u64) -> u32 {
        u32::try_from(block / PAGE_BITS).unwrap_or(u32::MAX)
    }

    /// Whether the page on disk lacks a bit that is set here.
    #[must_use]
    pub fn is_stale(&self, page: u32) -> bool {
        self.stale.contains(&page)
    }

    /// All such pages.
    #[must_use]
    pub fn stale_pages(&self) -> Vec<u32> {
        self.stale.iter().copied().collect()
    }

    /// The page as it is now is on its way to the disk; bits set from now on make it stale again.
    pub fn page_handed_out(&mut self, page: u32) {
        self.stale.remove(&page);
    }

    /// What is here came from the disk: no page is stale.
    pub fn as_on_disk(&mut self) {
        self.stale.clear();
    }

    fn word(&self, index: u64) -> u64 {
        usize::try_from(index).ok().and_then(|index| self.words.get(index)).copied().unwrap_or(0)
    }

    fn masks(&self, range: BlockRange) -> impl Iterator<Item = (usize, u64)> + use<> {
        let end = range.end.min(self.blocks);
        let start = range.start.min(end);
        let first = start / WORD_BITS;
        let last = if end > start { (end - 1) / WORD_BITS + 1 } else { first };
        (first..last).map(move |index| {
            let low = start.max(index * WORD_BITS) - index * WORD_BITS;
            let high = end.min((index + 1) * WORD_BITS) - index * WORD_BITS;
            let mask = (u64::MAX << low) & (u64::MAX >> (WORD_BITS - high));
            (index as usize, mask)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_behaves_like_a_set_of_blocks(steps in prop::collection::vec((any::<bool>(), 0u64..700, 0u64..200), 1..40)) {
            let mut bitmap = Bitmap::new(600 * BLOCK_BYTES);
            let mut model = BTreeSet::new();
            for (set, start, len) in steps {
                let range = BlockRange { start, end: start + len };
                for block in start..(start + len).min(600) {
                    if set { model.insert(block); } else { model.remove(&block); }
                }
                if set { bitmap.set(range); } else { bitmap.clear(range); }
            }
            prop_assert_eq!(bitmap.dirty(), model.len() as u64);
            let mut found = BTreeSet::new();
            let mut from = 0;
            while let Some(run) = bitmap.next_dirty(from, 7) {
                prop_assert!(run.blocks() <= 7);
                found.extend(run.start..run.end);
                from = run.end;
            }
            prop_assert_eq!(&found, &model);
            let mut copy = Bitmap::new(600 * BLOCK_BYTES);
            copy.merge_page(0, &bitmap.page(0));
            prop_assert!((0..600).all(|block| copy.is_dirty(block) == model.contains(&block)));
            prop_assert_eq!(copy.dirty(), bitmap.dirty());
        }
    }

    #[test]
    fn a_page_is_stale_from_the_first_new_bit_until_it_is_handed_out() {
        let mut bitmap = Bitmap::new(3 * PAGE_BITS * BLOCK_BYTES);
        bitmap.set(BlockRange { start: PAGE_BITS + 5, end: PAGE_BITS + 6 });
        assert_eq!(bitmap.stale_pages(), vec![1]);
        bitmap.page_handed_out(1);
        bitmap.set(BlockRange { start: PAGE_BITS + 5, end: PAGE_BITS + 6 });
        assert!(!bitmap.is_stale(1), "the bit is on the way already");
        bitmap.clear(BlockRange { start: PAGE_BITS + 5, end: PAGE_BITS + 6 });
        assert!(bitmap.page_is_clean(1));
        bitmap.set(BlockRange { start: PAGE_BITS + 5, end: PAGE_BITS + 6 });
        assert!(bitmap.is_stale(1), "the page on disk may have lost it meanwhile");
    }
}
