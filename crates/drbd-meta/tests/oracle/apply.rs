//! `apply-al`: after a crash of a Primary, the active extents are dirty.

use std::collections::{BTreeMap, BTreeSet};

use drbd_meta::{ActivityLog, Bitmap, DeviceFlags, Layout, Superblock, Write, create, recover, replay};

use crate::drbdmeta::Device;

/// A device of a Primary, as large as can be, with nothing dirty.
fn primary(layout: &Layout) -> (Device, Superblock) {
    let device = Device::new(layout.device_bytes());
    device.write(&create(layout).body);
    let mut superblock = Superblock::new(*layout);
    superblock.effective_sectors = layout.data_bytes() / 512;
    superblock.current_uuid = 0x1234_5678;
    superblock.flags = DeviceFlags::CONSISTENT | DeviceFlags::WAS_UP_TO_DATE | DeviceFlags::PRIMARY_IND;
    superblock.node_id = Some(0);
    superblock.log_extents = 1237;
    device.write_superblock(&superblock);
    (device, superblock)
}

fn dirty(bitmap: &Bitmap, layout: &Layout) -> Vec<Vec<u64>> {
    (0..layout.peers()).map(|slot| bitmap.dirty(slot).flatten().collect()).collect()
}

/// Recovers a device here and a copy of it by `drbdmeta`; both must come to the same. The extents.
fn both_recover(device: &Device, layout: &Layout) -> BTreeSet<u32> {
    let mut superblock = device.superblock(layout);
    let mut bitmap = device.bitmap(layout);
    let recovery = recover(&mut superblock, &device.log(layout), &mut bitmap).unwrap();

    let copy = Device::new(device.size());
    let bytes = device.read(layout.bitmap_at(), layout.metadata_bytes());
    copy.write(&[Write::Data { offset: layout.bitmap_at(), bytes }]);
    copy.drbdmeta("v09", &["apply-al"]);

    let theirs = copy.bitmap(layout);
    for (slot, (ours, theirs)) in dirty(&bitmap, layout).iter().zip(dirty(&theirs, layout)).enumerate() {
        assert!(*ours == theirs, "slot {slot}: {} blocks here, {} there", ours.len(), theirs.len());
    }
    device.write(&recovery.bitmap);
    device.write(&recovery.log);
    device.write(&recovery.superblock);
    // A log whose only transaction was interrupted counts as empty for drbdmeta and stays as it is.
    let interrupted = recovery.extents.is_empty() && recovery.log.is_some();
    assert!(interrupted || device.log(layout) == copy.log(layout), "the log is empty again");
    assert_eq!(device.superblock(layout), copy.superblock(layout));
    // Neither finds anything more to do.
    let again = recover(&mut superblock, &device.log(layout), &mut bitmap).unwrap();
    assert_eq!((again.newly_dirty, again.log, again.superblock), (0, None, None));
    recovery.extents
}

fn commit(device: &Device, log: &mut ActivityLog, changes: &[(u16, Option<u32>)]) {
    let write = log.commit(&changes.iter().copied().collect::<BTreeMap<_, _>>()).unwrap();
    device.write([&write]);
}

pub(crate) fn same_blocks() {
    for (mib, peers) in [(64, 1), (64, 2), (256, 3), (1024, 2), (1000, 7)] {
        let layout = Layout::internal(mib << 20, peers).unwrap();
        let (device, _) = primary(&layout);
        let mut bitmap = Bitmap::new(&layout).unwrap();
        bitmap.set(0, 5..7);
        bitmap.set(peers - 1, 3000..3100);
        device.write(&bitmap.take_writes());
        let mut log = ActivityLog::new(&layout, 1237).unwrap();
        commit(&device, &mut log, &[(0, Some(0)), (7, Some(3)), (1236, Some(5))]);
        commit(&device, &mut log, &[(7, Some(9)), (1, Some(2)), (2, Some(11))]);
        commit(&device, &mut log, &[(2, None)]);
        let extents = both_recover(&device, &layout);
        assert_eq!(extents, BTreeSet::from([0, 2, 5, 9]));
        let bitmap = device.bitmap(&layout);
        // Blocks that were dirty before still are: of slot 0 with one peer, those after the extent 2.
        assert_eq!(bitmap.count(0), 4 * 1024 + if peers == 1 { 3100 - 3072 } else { 0 });
    }
}

pub(crate) fn long_logs() {
    // Rings in one piece and in stripes; more transactions than blocks, more slots than one transaction tells.
    for (stripes, stripe_blocks, slots) in [(1, 8, 6433), (4, 8, 5000), (3, 5, 100), (1, 2, 919)] {
        let layout = Layout::with_log(1 << 30, 2, stripes, stripe_blocks).unwrap();
        let (device, _) = primary(&layout);
        let mut log = ActivityLog::new(&layout, slots).unwrap();
        let data_extents = u32::try_from(layout.data_bytes() / (4 << 20)).unwrap();
        let mut holds: BTreeMap<u16, u32> = BTreeMap::new();
        let mut mix = 7_u64;
        for _ in 0..100 {
            let changes: BTreeMap<u16, Option<u32>> = (0..mix % 64)
                .map(|_| {
                    mix = mix.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                    let random = u32::try_from(mix >> 33).unwrap();
                    let extent = (random % data_extents != 0).then_some(random % data_extents);
                    (u16::try_from((u64::from(random) * u64::from(slots)) >> 31).unwrap(), extent)
                })
                .collect();
            mix = mix.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            for (slot, extent) in &changes {
                match extent {
                    Some(extent) => holds.insert(*slot, *extent),
                    None => holds.remove(slot),
                };
            }
            device.write([&log.commit(&changes).unwrap()]);
        }
        let expected: BTreeSet<u32> = holds.values().copied().collect();
        assert!(expected.len() > 20, "{}", expected.len());
        assert_eq!(replay(&layout, &device.log(&layout)), Ok(expected.clone()));
        assert_eq!(both_recover(&device, &layout), expected);
    }
}

pub(crate) fn torn() {
    let layout = Layout::internal(256 << 20, 2).unwrap();
    for transactions in 1..20_u32 {
        let (device, _) = primary(&layout);
        let mut log = ActivityLog::new(&layout, 64).unwrap();
        let mut last = None;
        for number in 0..transactions {
            let slot = u16::try_from(number % 64).unwrap();
            let write = log.commit(&BTreeMap::from([(slot, Some(number))])).unwrap();
            device.write([&write]);
            last = Some(write);
        }
        // The last one was under way when the power went: half of it is what was there before.
        let Some(Write::Data { offset, bytes }) = last else { panic!() };
        let torn = [&bytes[..2048], &[0x77; 2048]].concat();
        device.write(&[Write::Data { offset, bytes: torn }]);
        assert_eq!(both_recover(&device, &layout), (0..transactions - 1).collect());
    }
}
