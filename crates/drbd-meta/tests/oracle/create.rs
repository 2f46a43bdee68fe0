//! New metadata.

use drbd_meta::{Layout, LayoutError, Recognised, Superblock, Transaction, create, recognise};

use crate::drbdmeta::Device;

const MIB: u64 = 1 << 20;

/// Sizes, some of them odd, with numbers of peers, stripes and blocks per stripe.
const CASES: &[(u64, u8, u32, u32)] = &[
    (68 << 10, 1, 1, 8),
    (MIB, 1, 1, 8),
    (64 * MIB, 2, 1, 8),
    (64 * MIB + 512, 2, 1, 8),
    (64 * MIB + 4095, 3, 1, 8),
    (100 * MIB + 3 * 4096, 7, 1, 8),
    (128 * MIB, 31, 1, 8),
    (1 << 30, 2, 4, 8),
    (1 << 30, 5, 3, 16),
    (5 << 30, 3, 1, 64),
];

fn create_with(device: &Device, peers: u8, stripes: u32, stripe_blocks: u32) {
    let (stripes, kb) = (stripes.to_string(), (stripe_blocks * 4).to_string());
    let arguments = ["create-md", "--al-stripes", &stripes, "--al-stripe-size-kB", &kb, &peers.to_string()];
    device.drbdmeta("v09", &arguments);
}

pub(crate) fn what_drbdmeta_creates_is_read() {
    for &(size, peers, stripes, stripe_blocks) in CASES {
        let device = Device::new(size);
        create_with(&device, peers, stripes, stripe_blocks);
        let layout = Layout::with_log(size, u32::from(peers), stripes, stripe_blocks).unwrap();
        let block = device.read(layout.superblock_at(), 4096);
        assert_eq!(recognise(&block), Recognised::V09);
        let read = Superblock::decode(&block, size).unwrap();
        assert_eq!(read.layout(), &layout);
        assert_eq!(read.encode(), Superblock::new(layout).encode());
        assert!(
            device
                .log(&layout)
                .chunks(4096)
                .all(|block| Transaction::decode(block) == Ok(Transaction::Initialised))
        );
        assert!((0..peers).all(|slot| device.bitmap(&layout).count(slot) == 0));
        let resized = Superblock::decode(&block, size + (64 << 30));
        assert!(resized.is_err(), "on a device of another size the bitmap would be elsewhere");
    }
}

pub(crate) fn byte_for_byte() {
    for &(size, peers, stripes, stripe_blocks) in CASES {
        let theirs = Device::new(size);
        create_with(&theirs, peers, stripes, stripe_blocks);
        let ours = Device::new(size);
        let layout = Layout::with_log(size, u32::from(peers), stripes, stripe_blocks).unwrap();
        // Over whatever was there before.
        let (at, length) = (layout.bitmap_at(), layout.metadata_bytes());
        ours.write(&[drbd_meta::Write::Data { offset: at, bytes: vec![0xa5; length as usize] }]);
        let new = create(&layout);
        ours.write(&new.body);
        assert_eq!(recognise(&ours.read(layout.superblock_at(), 4096)), Recognised::Nothing);
        ours.write([&new.superblock]);
        assert!(ours.read(at, length) == theirs.read(at, length), "{size} bytes, {peers} peers");
    }
}

pub(crate) fn too_small() {
    let size = (68 << 10) - 1;
    let refused = Device::new(size).run("v09", &["create-md", "1"]);
    assert!(!refused.status.success());
    assert_eq!(Layout::internal(size, 1), Err(LayoutError::TooSmall(size)));
    let refused = Device::new(64 * MIB).run("v09", &["create-md", "32"]);
    assert!(!refused.status.success());
    assert_eq!(Layout::internal(64 * MIB, 32), Err(LayoutError::Peers(32)));
}
