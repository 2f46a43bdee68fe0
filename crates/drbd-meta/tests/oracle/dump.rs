//! `dump-md`, `restore-md`, `get-gi` and the commands that change a superblock.

use std::collections::BTreeMap;

use drbd_meta::{Bitmap, DeviceFlags, Layout, PeerFlags, PeerSlot, Superblock, Write, create};

use crate::drbdmeta::Device;

const SIZE: u64 = 256 << 20;
const PEERS: u8 = 3;

/// A device with something in every field, and bits here and there.
fn rich() -> (Device, Superblock, Bitmap) {
    let device = Device::new(SIZE);
    let layout = Layout::internal(SIZE, PEERS).unwrap();
    let new = create(&layout);
    device.write(&new.body);
    let mut superblock = Superblock::new(layout);
    superblock.effective_sectors = layout.data_bytes() / 512;
    superblock.current_uuid = 0x0123_4567_89ab_cdef;
    superblock.device_uuid = 0xfeed_face_cafe_beef;
    superblock.flags = DeviceFlags::CONSISTENT | DeviceFlags::WAS_UP_TO_DATE | DeviceFlags::LOG_CLEAN;
    superblock.log_extents = 1237;
    superblock.peer_max_bio_bytes = 1 << 20;
    superblock.node_id = Some(4);
    for (node, slot) in [(0, 2), (1, 0), (31, 1)] {
        superblock.peers[node] = PeerSlot {
            bitmap_uuid: 0x1000 + node as u64,
            bitmap_dagtag: 0x2000 + node as u64,
            flags: PeerFlags::HAVE_BITMAP | PeerFlags::DEVICE_SEEN | PeerFlags::NODE_EXISTS,
            bitmap_slot: Some(slot),
        };
    }
    for (index, uuid) in superblock.history_uuids.iter_mut().enumerate() {
        *uuid = 0x3000 + index as u64;
    }
    let mut bitmap = Bitmap::new(&layout).unwrap();
    bitmap.set(0, 0..1);
    bitmap.set(0, 31..34);
    bitmap.set(1, 1000..30_000);
    bitmap.set(2, bitmap.blocks() - 1..bitmap.blocks());
    device.write(&bitmap.take_writes());
    device.write_superblock(&superblock);
    (device, superblock, bitmap)
}

/// The `key value;` lines of a dump outside of blocks, and each block's.
fn parsed(dump: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut block = String::new();
    for line in dump.lines().map(str::trim).filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(name) = line.strip_suffix('{') {
            block = format!("{}.", name.trim());
        } else if line == "}" {
            block.clear();
        } else if block.starts_with("bitmap") || block.starts_with("history") {
            let words: &mut String = found.entry(block.trim_end_matches('.').to_owned()).or_default();
            words.push_str(line.split('#').next().unwrap_or_default());
            words.push(' ');
        } else if let Some((key, value)) =
            line.split(';').next().and_then(|line| line.split_once(char::is_whitespace))
        {
            found.insert(format!("{block}{key}"), value.trim().to_owned());
        }
    }
    found
}

/// The bits of `0x…; 12 times 0x…;` as 64-bit words.
fn words(text: &str) -> Vec<u64> {
    let word = |text: &str| u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap();
    text.split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .flat_map(|part| match part.split_once(" times ") {
            Some((count, value)) => vec![word(value); count.parse().unwrap()],
            None => vec![word(part)],
        })
        .collect()
}

pub(crate) fn every_field_and_bit() {
    let (device, superblock, bitmap) = rich();
    let dump = device.drbdmeta("v09", &["dump-md"]);
    let found = parsed(&dump);
    let hex = |key: &str| u64::from_str_radix(found[key].trim_start_matches("0x"), 16).unwrap();
    let number = |key: &str| found[key].parse::<i64>().unwrap();
    assert_eq!(found["version"], "\"v09\"");
    assert_eq!(number("max-peers"), i64::from(PEERS));
    assert_eq!(number("node-id"), 4);
    assert_eq!(number("la-size-sect"), superblock.effective_sectors.cast_signed());
    assert_eq!(number("bm-byte-per-bit"), 4096);
    assert_eq!(number("la-peer-max-bio-size"), 1 << 20);
    assert!(dump.contains("\n# al-extents 1237;\n"), "{dump}");
    assert_eq!((number("al-stripes"), number("al-stripe-size-4k")), (1, 8));
    assert_eq!(hex("current-uuid"), superblock.current_uuid);
    assert_eq!(hex("device-uuid"), superblock.device_uuid);
    assert_eq!(hex("flags"), u64::from(superblock.flags.bits()));
    for (node, peer) in superblock.peers.iter().enumerate() {
        let of = |key: &str| format!("peer[{node}].{key}");
        assert_eq!(number(&of("bitmap-index")), peer.bitmap_slot.map_or(-1, i64::from));
        assert_eq!(hex(&of("bitmap-uuid")), peer.bitmap_uuid);
        assert_eq!(hex(&of("bitmap-dagtag")), peer.bitmap_dagtag);
        assert_eq!(hex(&of("flags")), u64::from(peer.flags.bits()));
    }
    assert!(dump.contains("# seen | exists"), "drbdmeta's own words for the flags of a peer: {dump}");
    assert_eq!(words(&found["history-uuids"]), superblock.history_uuids);
    for slot in 0..PEERS {
        let words = words(&found[&format!("bitmap[{slot}]")]);
        let theirs: Vec<u64> = (0..words.len() as u64 * 64)
            .filter(|block| words[usize::try_from(block / 64).unwrap()] >> (block % 64) & 1 == 1)
            .collect();
        let ours: Vec<u64> = bitmap.dirty(slot).flatten().collect();
        assert!(theirs == ours, "slot {slot}: {theirs:?} for {ours:?}");
    }
    let gi = device.drbdmeta("v09", &["get-gi", "--node-id", "31"]);
    let uuids = "0123456789ABCDEF:000000000000101F:0000000000003000:0000000000003001";
    assert_eq!(gi.trim(), format!("{uuids}:1:1:0:0:1:0:0:0:0:0:0:1"));
}

pub(crate) fn restored() {
    let (device, superblock, bitmap) = rich();
    let dump = device.drbdmeta("v09", &["dump-md"]);
    let file = device.path().with_extension("dump");
    std::fs::write(&file, dump).unwrap();
    let other = Device::new(SIZE);
    other.drbdmeta("v09", &["restore-md", file.to_str().unwrap()]);
    // The number of active extents is a comment in a dump: it is not restored, and each attachment sets it anyway.
    let mut read = other.superblock(superblock.layout());
    read.log_extents = superblock.log_extents;
    assert_eq!(read, superblock);
    assert!(other.bitmap(superblock.layout()).as_bytes() == bitmap.as_bytes());
}

pub(crate) fn changes() {
    let (device, before, _) = rich();
    let layout = *before.layout();
    assert_eq!(device.drbdmeta("v09", &["dstate"]).trim(), "Consistent");
    device.drbdmeta("v09", &["outdate"]);
    let outdated = device.superblock(&layout);
    assert_eq!(outdated.flags, before.flags.without(DeviceFlags::WAS_UP_TO_DATE));
    assert_eq!(device.drbdmeta("v09", &["dstate"]).trim(), "Outdated");
    device.drbdmeta("v09", &["invalidate"]);
    let invalid = device.superblock(&layout);
    assert!(!invalid.flags.contains(DeviceFlags::CONSISTENT));
    assert!(invalid.peers.iter().all(|peer| peer.flags.contains(PeerFlags::FULL_SYNC)));

    // Each flag by its place in `set-gi`.
    let uuids = "AA:BB:CC:DD";
    let set = |place: usize| {
        let bits: Vec<String> = (0..12).map(|index| u8::from(index == place).to_string()).collect();
        let gi = format!("{uuids}:{}", bits.join(":"));
        device.drbdmeta("v09", &["set-gi", "--node-id", "1", &gi]);
        device.superblock(&layout)
    };
    let device_flags = [
        DeviceFlags::CONSISTENT,
        DeviceFlags::WAS_UP_TO_DATE,
        DeviceFlags::PRIMARY_IND,
        DeviceFlags::CRASHED_PRIMARY,
        DeviceFlags::LOG_CLEAN,
        DeviceFlags::LOG_DISABLED,
        DeviceFlags::PRIMARY_LOST_QUORUM,
    ];
    for (place, flag) in device_flags.into_iter().enumerate() {
        assert_eq!(set(place).flags, flag, "{place}");
    }
    let peer_flags = [
        PeerFlags::CONNECTED,
        PeerFlags::OUTDATED,
        PeerFlags::FENCING,
        PeerFlags::FULL_SYNC,
        PeerFlags::DEVICE_SEEN,
    ];
    let kept = PeerFlags::HAVE_BITMAP | PeerFlags::NODE_EXISTS;
    for (place, flag) in (device_flags.len()..).zip(peer_flags) {
        let read = set(place);
        assert_eq!(read.peers[1].flags, flag | kept, "{place}");
        assert_eq!((read.current_uuid, read.peers[1].bitmap_uuid), (0xaa, 0xbb));
        assert_eq!(read.history_uuids[..2], [0xcc, 0xdd]);
    }
    device.drbdmeta("v09", &["wipe-md"]);
    let gone = device.read(layout.superblock_at(), 4096);
    assert_eq!(drbd_meta::recognise(&gone), drbd_meta::Recognised::Nothing);
    let length = layout.metadata_bytes();
    device.write(&[Write::Zeroes { offset: layout.bitmap_at(), length }]);
}
