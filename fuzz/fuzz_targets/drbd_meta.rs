//! Whatever lies at the end of a device is read as metadata or refused; what was read is written back the same.

#![no_main]

use drbd_meta::{Bitmap, Layout, Superblock, Transaction, recognise, recover, replay};
use libfuzzer_sys::fuzz_target;

const DEVICE_BYTES: u64 = 64 << 20;

fuzz_target!(|input: &[u8]| {
    let _ = (recognise(input), Transaction::decode(input));
    if let Ok(superblock) = Superblock::decode(input, DEVICE_BYTES) {
        assert_eq!(superblock.encode(), input[..4096]);
    }
    let Ok(layout) = Layout::internal(DEVICE_BYTES, 2) else { return };
    let Ok(mut bitmap) = Bitmap::new(&layout) else { return };
    // Blocks that are valid but for their checksum and magic would be found by chance only.
    let mut log = input.to_vec();
    log.resize(32 << 10, 0);
    if let Ok(active) = replay(&layout, &log) {
        let mut superblock = Superblock::new(layout);
        superblock.flags = drbd_meta::DeviceFlags::PRIMARY_IND;
        let recovery = recover(&mut superblock, &log, &mut bitmap);
        assert_eq!(recovery.map(|recovery| recovery.extents), Ok(active));
    }
});
