//! Both backends do the same, and what they say is on the device is there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::path::Path;

use bytes::Bytes;
use replica::io::DiskOp;
use replica::metadata::AlTransaction;
use replica::wire::WriteBody;
use replica::{Config, NodeId, OpId};

use super::*;

const DEVICE: u64 = 64 << 20;

fn config(size: u64) -> Config {
    let node = |id| NodeId::new(id).unwrap();
    Config::new(node(0), size).with_peer(node(1), false)
}

fn device(folder: &Path) -> (std::path::PathBuf, u64) {
    let path = folder.join("disk");
    std::fs::File::create(&path).unwrap().set_len(DEVICE).unwrap();
    let layout = create(&Store::open(&path).unwrap(), 1, false).unwrap();
    (path, layout.data_bytes())
}

fn open(path: &Path, size: u64, choice: Choice) -> (VolumeDisk, replica::metadata::Attached) {
    let store = Store::open(path).unwrap();
    let (image, attached) = Image::read(&store, &config(size)).unwrap();
    (VolumeDisk::new(store, image, choice).unwrap(), attached)
}

fn run(disk: &mut VolumeDisk, ops: impl IntoIterator<Item = DiskOp>) -> Vec<Finished> {
    let mut waiting = 0;
    for (number, op) in ops.into_iter().enumerate() {
        disk.submit(OpId(number as u64), op);
        waiting += 1;
    }
    let mut finished = Vec::new();
    while finished.len() < waiting {
        disk.kick();
        let mut fds = [rustix::event::PollFd::from_borrowed_fd(disk.wake(), rustix::event::PollFlags::IN)];
        if !disk.wants_kick() {
            rustix::event::poll(&mut fds, None).unwrap();
            disk.rest();
        }
        finished.extend(disk.finished());
    }
    finished.sort_by_key(|(op, _)| *op);
    finished
}

fn write(offset: u64, byte: u8, len: usize) -> DiskOp {
    // Not aligned on purpose: as it comes off a socket.
    let data = Bytes::from(vec![byte; len + 1]).slice(1..);
    DiskOp::Write { offset, body: WriteBody::Data(data) }
}

fn each_backend(test: impl Fn(Choice)) {
    for choice in [Choice::Threads, Choice::IoUring] {
        test(choice);
    }
}

#[test]
fn what_is_written_is_read_again_however_many_at_a_time() {
    each_backend(|choice| {
        let folder = tempfile::tempdir().unwrap();
        let (path, size) = device(folder.path());
        let (mut disk, _) = open(&path, size, choice);
        // More than the ring has room for, of all sizes, sectors among them.
        let len = |index: u64| [512, 4096, 8192][(index % 3) as usize];
        let writes = (0..1000).map(|index| write(index * 8192, index as u8, len(index)));
        assert!(run(&mut disk, writes.chain([DiskOp::Flush])).iter().all(|(_, result)| result.is_ok()));
        let reads = (0..1000).map(|index| DiskOp::Read { offset: index * 8192, len: 8192 });
        for (op, result) in run(&mut disk, reads) {
            let data = result.unwrap().unwrap();
            let written = len(op.0);
            assert!(data[..written].iter().all(|byte| *byte == op.0 as u8), "{op:?}");
            assert!(data[written..].iter().all(|byte| *byte == 0), "{op:?}");
        }
        assert!(disk.is_idle());
    });
}

#[test]
fn zeroes_are_zeroes_and_a_trim_gives_the_space_back() {
    use std::os::unix::fs::MetadataExt;
    each_backend(|choice| {
        let folder = tempfile::tempdir().unwrap();
        let (path, size) = device(folder.path());
        let (mut disk, _) = open(&path, size, choice);
        run(&mut disk, [write(0, 9, 4 << 20), DiskOp::Flush]);
        let before = std::fs::metadata(&path).unwrap().blocks();
        let zero =
            |offset, may_trim| DiskOp::Write { offset, body: WriteBody::Zeroes { len: 1 << 20, may_trim } };
        run(&mut disk, [zero(0, true), zero(2 << 20, false)]);
        let data = run(&mut disk, [DiskOp::Read { offset: 0, len: 4 << 20 }]).remove(0).1.unwrap().unwrap();
        for (megabyte, piece) in data.chunks(1 << 20).enumerate() {
            let expected = if megabyte % 2 == 0 { 0 } else { 9 };
            assert!(piece.iter().all(|byte| *byte == expected), "megabyte {megabyte}");
        }
        let after = std::fs::metadata(&path).unwrap().blocks();
        // Nearly all of it: the list of a file's extents, which a hole makes longer, takes blocks too.
        assert!(after <= before - (1 << 19) / 512, "{before} blocks before, {after} after");
    });
}

#[test]
fn metadata_that_was_answered_is_what_the_next_attach_finds() {
    each_backend(|choice| {
        let folder = tempfile::tempdir().unwrap();
        let (path, size) = device(folder.path());
        let (mut disk, mut attached) = open(&path, size, choice);
        assert!(attached.superblock.generations.current.is_just_created());
        let peer = NodeId::new(1).unwrap();
        let superblock = &mut attached.superblock;
        superblock.generations.begin(replica::generation::Generation(0x1234_5678), &[peer]);
        superblock.generations.begin(replica::generation::Generation(0x9abc_def0), &[peer]);
        (superblock.consistent, superblock.primary, superblock.al_clean) = (true, true, false);
        superblock.primary_since = 77;
        superblock.peers.get_mut(&peer).unwrap().outdated = true;
        let mut bitmap = replica::bitmap::Bitmap::new(size);
        bitmap.set(replica::ids::BlockRange { start: 3, end: 70 });
        let transaction = AlTransaction {
            number: 6,
            updates: vec![(2, 5)],
            slots: 6433,
            context_start: 0,
            context: vec![Some(1), None, Some(5)],
        };
        let ops = [
            DiskOp::ResetActivityLog { number: 5 },
            DiskOp::BitmapPage { peer, page: 0, bits: bitmap.page(0) },
            DiskOp::Superblock(Box::new(superblock.clone())),
        ];
        assert!(run(&mut disk, ops).iter().all(|(_, result)| result.is_ok()));
        assert!(run(&mut disk, [DiskOp::ActivityLog(transaction)])[0].1.is_ok());
        let groups = disk.counters().metadata_groups;
        assert_eq!(groups, 2, "what waits together is written together");
        let expected = attached.superblock;
        drop(disk);
        let (_, found) = open(&path, size, choice);
        assert_eq!(found.superblock, expected);
        assert_eq!(found.al_number, 6);
        assert_eq!(found.active_extents, [1, 5].into());
        bitmap.as_on_disk();
        let mut again = found.bitmaps[&peer].clone();
        again.as_on_disk();
        assert_eq!(again, bitmap);
    });
}

#[test]
fn an_error_of_the_device_is_reported_for_the_operation_that_had_it() {
    each_backend(|choice| {
        let folder = tempfile::tempdir().unwrap();
        let (path, size) = device(folder.path());
        let (mut disk, _) = open(&path, size, choice);
        // The device shrinks under us: what lies beyond its end cannot be read.
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 20).unwrap();
        let read = |offset| DiskOp::Read { offset, len: 4096 };
        let finished = run(&mut disk, [read(0), read(2 << 20)]);
        assert!(finished[0].1.is_ok());
        assert!(finished[1].1.is_err());
        assert!(disk.take_error().is_some());
        assert_eq!(disk.counters().errors, 1);
    });
}

#[test]
fn a_device_is_used_by_one_and_metadata_is_not_replaced_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let (path, size) = device(folder.path());
    let store = Store::open(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::InUse(_))));
    assert!(matches!(create(&store, 1, false), Err(MetadataError::Exists { current: 4 })));
    create(&store, 3, true).unwrap();
    let other = Config { node: NodeId::new(7).unwrap(), ..config(size * 2) };
    assert!(matches!(Image::read(&store, &other), Err(MetadataError::TooSmall { .. })));
}
