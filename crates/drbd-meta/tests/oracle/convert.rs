//! Handing a device to DRBD 8.4 and taking it back.

use drbd_meta::{Bitmap, DeviceFlags, Layout, PeerFlags, Recognised, Superblock, create, recognise};

use crate::drbdmeta::Device;

const SIZE: u64 = 64 << 20;

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
