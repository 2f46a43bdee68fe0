//! Properties of the parts. What LINBIT's tool makes of them is tested in `tests/oracle`.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::*;

const MIB: u64 = 1 << 20;

fn layout(device_bytes: u64, peers: u8) -> Layout {
    Layout::internal(device_bytes, peers).unwrap()
}

fn extents(slots: &[(u16, u32)]) -> BTreeMap<u16, Option<u32>> {
    slots.iter().map(|(slot, extent)| (*slot, Some(*extent))).collect()
}

#[test]
fn the_places_of_a_known_device() {
    // As dumped by drbdmeta 9.22 for 5 GiB and one peer.
    let layout = layout(5 << 30, 1);
    assert_eq!(layout.superblock_at(), 5_368_705_024);
    assert_eq!(layout.log_at(), 5_368_672_256);
    assert_eq!(layout.bitmap_at(), 5_368_508_416);
    assert_eq!(layout.metadata_bytes(), 392 * 512);
    assert_eq!(ActivityLog::most_slots(&layout), 6433);
}

#[test]
fn what_cannot_hold_metadata_is_refused() {
    assert_eq!(Layout::internal(0, 1), Err(LayoutError::TooSmall(0)));
    assert_eq!(Layout::internal((1 << 50) + 1, 1), Err(LayoutError::TooLarge((1 << 50) + 1)));
    assert_eq!(Layout::internal(64 * MIB, 0), Err(LayoutError::Peers(0)));
    let log = |stripes, stripe_blocks| Layout::with_log(64 * MIB, 1, stripes, stripe_blocks);
    for (stripes, stripe_blocks) in [(0, 8), (1, 1), (1 << 16, 1 << 16), (2, 4096)] {
        assert_eq!(log(stripes, stripe_blocks), Err(LayoutError::Log { stripes, stripe_blocks }));
    }
    assert!(matches!(Layout::with_log(MIB, 1, 1, 4096), Err(LayoutError::TooSmall(_))));
}

#[test]
fn damaged_superblocks_say_what_is_wrong() {
    let size = 64 * MIB;
    let good = Superblock::new(layout(size, 2)).encode();
    let with = |at: usize, bytes: &[u8]| {
        let mut block = good.clone();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        Superblock::decode(&block, size).unwrap_err()
    };
    assert_eq!(Superblock::decode(&good[1..], size), Err(SuperblockError::Short(4095)));
    assert_eq!(with(60, &[0; 4]), SuperblockError::Magic(0));
    assert_eq!(with(88, &[0, 0, 0, 99]), SuperblockError::Layout(LayoutError::Peers(99)));
    assert_eq!(
        with(96, &[0xff; 8]),
        SuperblockError::Layout(LayoutError::Log { stripes: u32::MAX, stripe_blocks: u32::MAX })
    );
    assert_eq!(with(80, &[0, 0, 0x20, 0]), SuperblockError::BytesPerBit(8192));
    assert_eq!(with(92, &[0, 0, 0, 32]), SuperblockError::NodeId(32));
    assert_eq!(with(112 + 20, &[0, 0, 0, 2]), SuperblockError::BitmapSlot { node: 0, slot: 2 });
    let mut twice = good.clone();
    for node in [3, 5] {
        twice[112 + node * 32 + 20..][..4].fill(0);
    }
    assert_eq!(Superblock::decode(&twice, size), Err(SuperblockError::BitmapSlot { node: 5, slot: 0 }));
    assert!(matches!(with(0, &[1; 8]), SuperblockError::EffectiveSize { .. }));
    for (at, what) in [(64, "size of the metadata"), (68, "activity log"), (76, "bitmap")] {
        let error = with(at, &[0, 0, 0, 1]);
        assert!(matches!(error, SuperblockError::Place { found: 1, .. }) && error.to_string().contains(what));
    }
    assert!(Superblock::decode(&good, 128 << 30).unwrap_err().to_string().contains("device of this size"));
}

#[test]
fn bytes_without_meaning_are_kept() {
    let size = 64 * MIB;
    let mut block = Superblock::new(layout(size, 2)).encode();
    // Reserved fields, and what comes after the last field.
    for at in [16, 47, 104, 111, 112 + 24, 112 + 31, 1392, 4095] {
        block[at] = 0x5a;
    }
    let mut read = Superblock::decode(&block, size).unwrap();
    assert_eq!(read.encode(), block);
    read.current_uuid = 77;
    block[8..16].copy_from_slice(&77_u64.to_be_bytes());
    assert_eq!(read.encode(), block);
}

#[test]
fn slots_of_the_bitmap_are_interleaved_by_words() {
    let layout = layout(64 * MIB, 3);
    let mut bitmap = Bitmap::new(&layout).unwrap();
    bitmap.set(0, 0..1);
    bitmap.set(1, 31..32);
    bitmap.set(2, 32..33);
    let words: Vec<u32> = bitmap
        .as_bytes()
        .chunks_exact(4)
        .take(6)
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .collect();
    assert_eq!(words, [1, 1 << 31, 0, 0, 0, 1]);
    assert_eq!(bitmap.take_writes().len(), 1);
    assert!(bitmap.take_writes().is_empty(), "what was taken counts as written");
    bitmap.set(0, 0..1);
    assert!(bitmap.take_writes().is_empty(), "nothing changed");
    let wrong = Bitmap::from_bytes(&layout, vec![0; 4096]);
    assert_eq!(wrong, Err(BitmapError::Length { found: 4096, expected: layout.bitmap_bytes() }));
}

#[test]
fn blocks_and_slots_that_do_not_exist_have_no_bits() {
    let layout = layout(64 * MIB, 1);
    let mut bitmap = Bitmap::new(&layout).unwrap();
    let blocks = bitmap.blocks();
    assert_eq!(bitmap.set(0, blocks - 2..u64::MAX), 2);
    assert_eq!(bitmap.set(1, 0..10), 0);
    assert_eq!(bitmap.set_extent(u32::MAX), 0);
    assert!(!bitmap.get(0, blocks) && !bitmap.get(0, u64::MAX) && !bitmap.get(1, 0));
    assert_eq!(bitmap.count(1), 0);
    // What lies on disk behind the last block's bit does not count.
    let full = Bitmap::from_bytes(&layout, vec![0xff; layout.bitmap_bytes() as usize]).unwrap();
    assert_eq!(full.count(0), blocks);
    assert!(full.dirty(0).eq(std::iter::once(0..blocks)));
}

#[test]
fn transactions_that_were_not_written_whole_are_noticed() {
    let layout = layout(64 * MIB, 1);
    let mut log = ActivityLog::new(&layout, 100).unwrap();
    let Write::Data { bytes, .. } = log.commit(&extents(&[(99, 7)])).unwrap() else { panic!() };
    let Ok(Transaction::Update { number: 0, slots: 100, updates, .. }) = Transaction::decode(&bytes) else {
        panic!()
    };
    assert_eq!(updates, extents(&[(99, 7)]));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(Transaction::decode(&damaged).is_err(), "{at}");
    }
    assert_eq!(Transaction::decode(&bytes[..4095]), Err(TransactionError::Short(4095)));
}

#[test]
fn logs_that_tell_nothing_are_refused() {
    let layout = layout(64 * MIB, 1);
    let blank = Transaction::initialised().repeat(8);
    assert_eq!(replay(&layout, &blank), Ok(BTreeSet::new()));
    assert_eq!(replay(&layout, &[0; 32 << 10]), Err(ReplayError::NoLog));
    assert_eq!(
        replay(&layout, &blank[1..]),
        Err(ReplayError::Length { found: blank.len() - 1, expected: 32 << 10 })
    );
    let damaged = |blocks: &[usize]| {
        let mut log = blank.clone();
        blocks.iter().for_each(|block| log[block * 4096 + 100] ^= 1);
        replay(&layout, &log)
    };
    assert_eq!(damaged(&[0]), Ok(BTreeSet::new()), "the first transaction was interrupted");
    assert_eq!(damaged(&[3]), Err(ReplayError::NoTransaction { damaged: 1 }));
}

#[test]
fn the_log_takes_what_it_can_tell() {
    let layout = layout(64 * MIB, 1);
    assert_eq!(ActivityLog::new(&layout, 6434), Err(LogError::Slots { slots: 6434, most: 6433 }));
    let mut log = ActivityLog::new(&layout, 70).unwrap();
    assert_eq!(log.commit(&extents(&[(70, 1)])), Err(LogError::NoSuchSlot { slot: 70, slots: 70 }));
    let many: BTreeMap<u16, Option<u32>> = (0..65).map(|slot| (slot, Some(1))).collect();
    assert_eq!(log.commit(&many), Err(LogError::TooMany(65)));
    assert!(log.slots().iter().all(Option::is_none), "what was refused changed nothing");
}

#[test]
fn a_secondary_with_a_damaged_log_recovers_and_a_primary_does_not() {
    let layout = layout(64 * MIB, 1);
    let mut superblock = Superblock::new(layout);
    superblock.flags = DeviceFlags::CONSISTENT;
    let mut bitmap = Bitmap::new(&layout).unwrap();
    let recovery = recover(&mut superblock, &[0; 32 << 10], &mut bitmap).unwrap();
    assert!(recovery.extents.is_empty() && recovery.log.is_some() && recovery.superblock.is_some());
    superblock.flags = DeviceFlags::CONSISTENT | DeviceFlags::PRIMARY_IND;
    let refused = recover(&mut superblock, &[0; 32 << 10], &mut bitmap);
    assert_eq!(refused, Err(RecoveryError::Log(ReplayError::NoLog)));
}

fn model_ops() -> impl Strategy<Value = Vec<(bool, u8, u64, u64)>> {
    prop::collection::vec((any::<bool>(), 0..4_u8, 0..17_000_u64, 0..2000_u64), 0..40)
}

proptest! {
    #[test]
    fn every_layout_fits_its_device(size in MIN_DEVICE_BYTES..=MAX_DEVICE_BYTES, peers in 1..=MAX_PEERS) {
        let Ok(layout) = Layout::internal(size, peers) else {
            // Only where metadata would leave nothing.
            prop_assert!(size < 2 * MIB);
            return Ok(());
        };
        prop_assert_eq!(layout.bitmap_at() + layout.metadata_bytes(), layout.superblock_at() + 4096);
        prop_assert!(layout.superblock_at() + 4096 <= size && size - layout.superblock_at() < 8192);
        prop_assert!(layout.data_bytes() > 0 && layout.data_bytes() % 4096 == 0);
        // Every block has a bit.
        prop_assert!(layout.data_blocks() * u64::from(peers) <= layout.bitmap_bytes() * 8);
        let read = Superblock::decode(&Superblock::new(layout).encode(), size);
        prop_assert_eq!(read, Ok(Superblock::new(layout)));
    }

    #[test]
    fn the_bitmap_is_a_set_of_blocks_per_slot(peers in 1..4_u8, ops in model_ops()) {
        let layout = layout(64 * MIB, peers);
        let mut bitmap = Bitmap::new(&layout).unwrap();
        let mut on_disk = vec![0; layout.device_bytes() as usize];
        let mut model: Vec<BTreeSet<u64>> = vec![BTreeSet::new(); 4];
        for (set, slot, from, length) in ops {
            let range = from..from + length;
            let exists = |block: &u64| slot < peers && *block < layout.data_blocks();
            let blocks: Vec<u64> = range.clone().filter(exists).collect();
            let slot_model = &mut model[usize::from(slot)];
            let before = slot_model.len();
            let changed = if set {
                slot_model.extend(blocks);
                bitmap.set(slot, range)
            } else {
                blocks.iter().for_each(|block| { slot_model.remove(block); });
                bitmap.clear(slot, range)
            };
            prop_assert_eq!(changed, before.abs_diff(slot_model.len()) as u64);
            for write in bitmap.take_writes() {
                write.apply(&mut on_disk);
            }
        }
        let at = layout.bitmap_at() as usize;
        let read = Bitmap::from_bytes(&layout, on_disk[at..at + layout.bitmap_bytes() as usize].to_vec()).unwrap();
        prop_assert_eq!(read.as_bytes(), bitmap.as_bytes(), "every change was handed out to be written");
        for slot in 0..peers {
            let model = &model[usize::from(slot)];
            prop_assert_eq!(&read.dirty(slot).flatten().collect::<BTreeSet<u64>>(), model);
            prop_assert_eq!(read.count(slot), model.len() as u64);
            let ranges: Vec<_> = read.dirty(slot).collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is committed, and wherever the power goes, the log tells at least what was committed before.
    #[test]
    fn the_log_tells_the_active_set_at_any_time(
        stripes in 1..4_u32,
        stripe_blocks in 2..5_u32,
        slots in 1..2500_u16,
        commits in prop::collection::vec(prop::collection::btree_map(any::<u16>(), prop::option::of(0..1000_u32), 0..64), 1..20),
        torn_at in 0..4096_usize,
    ) {
        let layout = Layout::with_log(MIB, 1, stripes, stripe_blocks).unwrap();
        let slots = slots.min(ActivityLog::most_slots(&layout));
        let mut log = ActivityLog::new(&layout, slots).unwrap();
        let mut ring = Transaction::initialised().repeat(layout.log_blocks() as usize);
        let mut active = BTreeSet::new();
        for changes in commits {
            let changes = changes.into_iter().map(|(slot, extent)| (slot % slots, extent)).collect();
            let Write::Data { offset, bytes } = log.commit(&changes).unwrap() else { panic!() };
            let at = (offset - layout.log_at()) as usize;
            // Interrupted: a part is new, the rest is old.
            let mut torn = ring.clone();
            torn[at..at + torn_at].copy_from_slice(&bytes[..torn_at]);
            let told = replay(&layout, &torn).unwrap();
            let now: BTreeSet<u32> = log.slots().iter().flatten().copied().collect();
            prop_assert!(told == active || told == now);
            ring[at..at + bytes.len()].copy_from_slice(&bytes);
            prop_assert_eq!(replay(&layout, &ring), Ok(now.clone()));
            active = now;
        }
    }

    #[test]
    fn garbage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..5000), magic in 0..3, size in any::<u64>()) {
        if bytes.len() > 64 && magic > 0 {
            let (at, magic) = if magic == 1 { (60, [0x83, 0x74, 0x02, 0x6d]) } else { (0, [0x69, 0xcb, 0x65, 0xa2]) };
            bytes[at..at + 4].copy_from_slice(&magic);
        }
        let _ = recognise(&bytes);
        let _ = Transaction::decode(&bytes);
        let _ = Superblock::decode(&bytes, size);
        bytes.resize(32 << 10, 0);
        let _ = replay(&layout(64 * MIB, 1), &bytes);
    }
}
