//! A volume goes from the engine to the kernel's DRBD and back, on the same disks: what was written is there, and what the
//! peer lacks is known to the block.
//!
//! The metadata is converted by the commands of `docs/replica.md`, taken from there.

use std::time::Duration;

use crate::lab::TestLab;

/// Longest time until two sides have met, or hold the same, in emulated machines.
const SYNC_LIMIT: Duration = Duration::from_secs(120);
/// Bytes in a block, of which the bitmap has a bit each.
const BLOCK_BYTES: u64 = 4096;
/// Of each node, data and metadata.
const DISK: &str = "data1=32MiB";
/// The commands that convert, as people read them.
const MANUAL: &str = include_str!("../../docs/replica.md");
/// The nodes, each with the node id of its peer for the engine.
const NODES: [(&str, u8); 2] = [("alpha", 1), ("beta", 0)];
/// Where the engine's block device is.
const ENGINE: &str = "/dev/hactl/by-res/r0";
/// The kernel's.
const DRBD: &str = "/dev/drbd0";

/// Pieces of a volume that are written while the peer is away, in blocks of 4 KiB: first block and how many. They lie in
/// several extents of the activity log and at odds with words of the bitmap.
const BY_ENGINE: [(u32, u32); 3] = [(1001, 20), (5063, 12), (7800, 5)];
const BY_DRBD: [(u32, u32); 3] = [(31, 2), (7000, 18), (8000, 1)];

pub(crate) fn engine_and_kernel_exchange_a_volume() {
    let lab = TestLab::up(
        "interop",
        &["--backend", "vm", "--nodes", "2", "--baked", "--boot-delay", "0", "--disks", DISK],
    );
    install(&lab);
    let written = by_engine(&lab);
    for (node, peer) in NODES {
        convert(&lab, node, peer, "to_drbd");
    }
    let written = by_drbd(&lab, &written);
    for (node, peer) in NODES {
        convert(&lab, node, peer, "to_engine");
    }
    back(&lab, &written);
}

/// The engine, the volume's description for both, and how to convert.
fn install(lab: &TestLab) {
    let links = lab.links();
    let (mut engine, mut kernel) = (String::new(), String::new());
    for (node, peer) in NODES {
        let (address, id) = (&links[node][1], 1 - peer);
        let disk = disk(node);
        engine.push_str(&format!("  {node}: {{ id: {id}, address: \"{address}:7789\", disk: {disk} }}\n"));
        kernel.push_str(&format!(
            "  on {node} {{ device {DRBD}; disk {disk}; address {address}:7788; meta-disk internal; }}\n"
        ));
    }
    let engine = format!(
        "version: 1\nattach: fuse\nnodes:\n{engine}net: {{ shared-secret: known to this test alone }}\n"
    );
    let kernel = format!("resource r0 {{\n  net {{ protocol C; }}\n{kernel}}}\n");
    let (_, manual) = MANUAL.split_once("```sh\nmd() {").expect("the manual has the commands");
    let (manual, _) = manual.split_once("```").expect("and their end");
    for (node, _) in NODES {
        lab.send_executable(node, "/usr/local/sbin/hactl");
        lab.on(
            node,
            &format!(
                "mkdir -p /etc/hactl/replica && umask 077 && printf '%s' '{engine}' >/etc/hactl/replica/r0.yml && \
                 printf '%s' '{kernel}' >/etc/drbd.d/r0.res && cat >/root/convert.sh <<'END'\nmd() {{{manual}END"
            ),
        );
    }
    lab.say("both nodes have the engine");
}

/// The engine forms the volume and writes, with the peer and without it. What is in the volume then.
fn by_engine(lab: &TestLab) -> Content {
    for (node, _) in NODES {
        lab.on(node, "hactl replica create-md r0 && hactl replica up r0");
    }
    lab.wait_on("alpha", "they meet", SYNC_LIMIT, "[ \"$(hactl replica cstate r0)\" = Connected ]");
    lab.on("alpha", "hactl replica new-current-uuid --clear-bitmap r0 && hactl replica primary r0");
    write(lab, ENGINE, &[(0, 128)]);
    lab.on("alpha", "hactl replica disconnect r0");
    assert_eq!(engine_out_of_sync_kib(lab), 0, "before anything was written alone");
    write(lab, ENGINE, &BY_ENGINE);
    assert_eq!(engine_out_of_sync_kib(lab), kib(&BY_ENGINE));
    let written = content(lab, "alpha", ENGINE);
    lab.on("alpha", "hactl replica secondary r0");
    for (node, _) in NODES {
        lab.on(node, "hactl replica down r0");
    }
    lab.say(&format!("the engine has written, {} KiB of it without the peer", kib(&BY_ENGINE)));
    written
}

/// The kernel's DRBD finds it, gives the peer what it lacks, and writes too.
fn by_drbd(lab: &TestLab, expected: &Content) -> Content {
    lab.on("alpha", "modprobe drbd && drbdadm up r0 && drbdadm primary r0");
    assert_eq!(drbd_counter(lab, "alpha", "oos"), kib(&BY_ENGINE), "the dirty blocks are the engine's");
    assert_eq!(content(lab, "alpha", DRBD), *expected, "the data is the engine's");
    lab.on("beta", "modprobe drbd && drbdadm up r0");
    let in_sync = "grep -q 'cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate' /proc/drbd";
    lab.wait_on("alpha", "the kernel's DRBD is in sync", SYNC_LIMIT, in_sync);
    assert_eq!(drbd_counter(lab, "beta", "nr"), kib(&BY_ENGINE), "only the dirty blocks were copied");
    assert_eq!(drbd_counter(lab, "alpha", "oos"), 0);
    lab.say("the kernel's DRBD has the engine's data, and copied its dirty blocks only");
    write(lab, DRBD, &[(2000, 100)]);
    lab.on("alpha", "drbdadm disconnect r0");
    write(lab, DRBD, &BY_DRBD);
    assert_eq!(drbd_counter(lab, "alpha", "oos"), kib(&BY_DRBD));
    let written = content(lab, "alpha", DRBD);
    assert_ne!(written, *expected, "it was written to");
    lab.on("alpha", "drbdadm secondary r0");
    for (node, _) in NODES {
        lab.on(node, "drbdadm down r0");
    }
    lab.say(&format!("the kernel's DRBD has written, {} KiB of it without the peer", kib(&BY_DRBD)));
    written
}

/// The engine has all of it back.
fn back(lab: &TestLab, expected: &Content) {
    lab.on("alpha", "hactl replica up r0 && hactl replica primary r0");
    assert_eq!(engine_out_of_sync_kib(lab), kib(&BY_DRBD), "the dirty blocks are the kernel's");
    assert_eq!(content(lab, "alpha", ENGINE), *expected, "the data is the kernel's");
    lab.on("beta", ": >/run/hactl/replica/r0/log && hactl replica up r0");
    let in_sync = "[ \"$(hactl replica dstate r0)\" = UpToDate/UpToDate ]";
    lab.wait_on("alpha", "the engine is in sync", SYNC_LIMIT, in_sync);
    let copied = lab.on(
        "beta",
        "sed -n 's/.*as SyncTarget (will sync \\([0-9]*\\) KB).*/\\1/p' /run/hactl/replica/r0/log",
    );
    assert_eq!(copied.trim(), kib(&BY_DRBD).to_string(), "only the dirty blocks were copied");
    assert_eq!(engine_out_of_sync_kib(lab), 0);
    lab.on("alpha", "hactl replica secondary r0");
    for (node, _) in NODES {
        lab.on(node, "hactl replica down r0");
        assert_eq!(content_of(lab, node, &disk(node), expected.blocks), *expected, "the disk of {node}");
    }
    lab.say("the engine has it back, with the kernel's data and dirty blocks; both disks hold the same");
}

/// What a volume holds.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    /// Its size in blocks of 4 KiB.
    blocks: u64,
    /// A digest of all of them.
    sum: String,
}

/// Reads a volume, past every cache.
fn content(lab: &TestLab, node: &str, device: &str) -> Content {
    let bytes = lab.on(node, &format!("blockdev --getsize64 {device}"));
    content_of(lab, node, device, bytes.trim().parse::<u64>().expect("a size") / BLOCK_BYTES)
}

fn content_of(lab: &TestLab, node: &str, device: &str, blocks: u64) -> Content {
    let bytes = blocks * BLOCK_BYTES;
    let read = format!("dd if={device} iflag=direct,count_bytes bs=1M count={bytes} status=none | sha256sum");
    Content { blocks, sum: lab.on(node, &read) }
}

/// Writes something new to pieces of the volume, on the Primary, to stable storage.
fn write(lab: &TestLab, device: &str, pieces: &[(u32, u32)]) {
    let dd = |(seek, count): &(u32, u32)| {
        format!(
            "dd if=/dev/urandom of={device} bs={BLOCK_BYTES} seek={seek} count={count} iflag=fullblock oflag=direct \
             conv=fsync,notrunc status=none"
        )
    };
    lab.on("alpha", &pieces.iter().map(dd).collect::<Vec<_>>().join(" && "));
}

/// How much that is.
fn kib(pieces: &[(u32, u32)]) -> u64 {
    pieces.iter().map(|(_, blocks)| u64::from(*blocks) * BLOCK_BYTES / 1024).sum()
}

/// What the engine on alpha has marked for its peer.
fn engine_out_of_sync_kib(lab: &TestLab) -> u64 {
    let status = lab.try_on("alpha", "hactl replica status --json r0").expect(0).json();
    status["connections"][0]["peer_devices"][0]["out-of-sync"].as_u64().expect("a number of KiB")
}

/// What the kernel's DRBD counts in KiB: `nr` it received, `oos` is marked for the peer.
fn drbd_counter(lab: &TestLab, node: &str, name: &str) -> u64 {
    let said = lab.on(node, "cat /proc/drbd");
    let mut words = said.split_whitespace();
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no `{name}` in {said}"))
}

/// Converts the metadata of a node's disk.
fn convert(lab: &TestLab, node: &str, peer: u8, how: &str) {
    lab.on(node, &format!(". /root/convert.sh && {how} {} {peer} 2>&1", disk(node)));
}

/// A node's disk.
fn disk(node: &str) -> String {
    format!("/dev/disk/by-id/virtio-{node}-data1")
}
