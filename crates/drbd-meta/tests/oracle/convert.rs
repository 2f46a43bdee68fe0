//! Handing a device to DRBD 8.4 and taking it back.

use drbd_meta::{Bitmap, DeviceFlags, Layout, PeerFlags, Recognised, Superblock, create, recognise};

use crate::drbdmeta::Device;

const SIZE: u64 = 64 << 20;
/// `MDF_PEER_OUT_DATED` among the flags of DRBD 8's superblock.
const V08_PEER_OUTDATED: u32 = 1 << 5;
/// The commands that convert everything, as people read them.
const MANUAL: &str = include_str!("../../../../docs/replica.md");

pub(crate) fn there_and_back() {
    let device = Device::new(SIZE);
    let layout = Layout::internal(SIZE, 1).unwrap();
    device.write(&create(&layout).body);
    let mut superblock = Superblock::new(layout);
    superblock.effective_sectors = layout.data_bytes() / 512;
    superblock.current_uuid = 0xabcd_ef01_2345_6788;
    superblock.node_id = Some(1);
    superblock.flags = DeviceFlags::CONSISTENT | DeviceFlags::WAS_UP_TO_DATE | DeviceFlags::LOG_CLEAN;
    superblock.peers[0].bitmap_slot = Some(0);
    superblock.peers[0].bitmap_uuid = 0x1111_2222_3333_4444;
    superblock.peers[0].flags = PeerFlags::HAVE_BITMAP | PeerFlags::NODE_EXISTS;
    superblock.history_uuids[..2].copy_from_slice(&[0x51, 0x52]);
    device.write_superblock(&superblock);
    let mut bitmap = Bitmap::new(&layout).unwrap();
    bitmap.set(0, 100..2100);
    device.write(&bitmap.take_writes());

    device.drbdmeta("v08", &["create-md"]);
    let Recognised::V08(old) = recognise(&device.read(layout.superblock_at(), 4096)) else { panic!() };
    assert_eq!(old.current_uuid, superblock.current_uuid);
    assert_eq!(old.effective_sectors, superblock.effective_sectors);
    assert_eq!(old.history_uuids, [0x51, 0x52]);
    assert!(!old.unclean);
    assert_eq!(old.flags & superblock.flags.bits(), superblock.flags.bits());
    let places = (old.log_offset_sectors, old.bitmap_offset_sectors, old.log_stripes, old.log_stripe_blocks);
    assert_eq!(places, (-64, -72, 1, 8));
    let error = Superblock::decode(&device.read(layout.superblock_at(), 4096), SIZE).unwrap_err();
    assert!(error.to_string().contains("no DRBD 9 metadata"), "{error}");

    device.drbdmeta("v09", &["create-md", "1"]);
    let back = device.superblock(&layout);
    assert_eq!(back.current_uuid, superblock.current_uuid);
    assert_eq!(back.effective_sectors, superblock.effective_sectors);
    assert!(device.bitmap(&layout).dirty(0).eq(std::iter::once(100..2100)));
    assert_eq!(old.bitmap_uuid, superblock.peers[0].bitmap_uuid);
}

/// By the manual nothing is lost that both formats have, whichever node ids there are.
pub(crate) fn by_the_manual() {
    let (_, commands) = MANUAL.split_once("```sh\nmd() {").expect("the manual has the commands");
    let (commands, _) = commands.split_once("```").expect("and their end");
    for (node, peer) in [(0_u8, 1_u8), (1, 0), (3, 7)] {
        let device = Device::new(SIZE);
        let layout = Layout::internal(SIZE, 1).unwrap();
        device.write(&create(&layout).body);
        let mut superblock = Superblock::new(layout);
        superblock.effective_sectors = layout.data_bytes() / 512;
        superblock.current_uuid = 0xabcd_ef01_2345_6788;
        superblock.node_id = Some(node);
        superblock.flags = DeviceFlags::CONSISTENT | DeviceFlags::WAS_UP_TO_DATE | DeviceFlags::LOG_CLEAN;
        let entry = &mut superblock.peers[usize::from(peer)];
        entry.bitmap_slot = Some(0);
        entry.bitmap_uuid = 0x1111_2222_3333_4444;
        entry.flags = PeerFlags::HAVE_BITMAP | PeerFlags::NODE_EXISTS | PeerFlags::OUTDATED;
        superblock.history_uuids[..2].copy_from_slice(&[0x51, 0x52]);
        device.write_superblock(&superblock);
        let mut bitmap = Bitmap::new(&layout).unwrap();
        bitmap.set(0, 100..2100);
        bitmap.set(0, 9999..10_000);
        device.write(&bitmap.take_writes());

        device.shell(&format!("md() {{{commands}\nto_drbd \"$1\" {peer}"));
        let Recognised::V08(old) = recognise(&device.read(layout.superblock_at(), 4096)) else { panic!() };
        assert_eq!(old.current_uuid, superblock.current_uuid);
        assert_eq!(old.bitmap_uuid, 0x1111_2222_3333_4444, "what the dirty blocks count from");
        assert_eq!(old.history_uuids, [0x51, 0x52]);
        assert_eq!(old.effective_sectors, superblock.effective_sectors);
        assert_eq!(old.flags, superblock.flags.bits() | V08_PEER_OUTDATED);

        device.shell(&format!("md() {{{commands}\nto_engine \"$1\" {peer}"));
        let back = device.superblock(&layout);
        assert_eq!(back.current_uuid, superblock.current_uuid);
        assert_eq!(back.effective_sectors, superblock.effective_sectors);
        assert_eq!(back.history_uuids, superblock.history_uuids);
        assert_eq!(back.flags.bits() & superblock.flags.bits(), superblock.flags.bits());
        let entry = back.peers[usize::from(peer)];
        assert_eq!(entry.bitmap_uuid, 0x1111_2222_3333_4444);
        assert!(entry.flags.contains(PeerFlags::OUTDATED) && !entry.flags.contains(PeerFlags::FULL_SYNC));
        assert!(device.bitmap(&layout).dirty(0).eq([100..2100, 9999..10_000]));
    }
}
