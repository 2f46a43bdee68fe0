//! Growing a volume while it is in use: what becomes larger, what is refused, and what is made good after an interruption.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use std::time::Duration;

use cluster::{Cluster, SIZE, id};
use replica::config::OnIoError;
use replica::metadata::ShrinkError;
use replica::state::DiskState;
use replica::{Admin, AdminError, ClientError, Event};

const GROWTH: u64 = 8 * 1024 * 1024;
/// A block that is there only afterwards.
const NEW: u64 = SIZE / 4096 + 5;

fn settle(cluster: &mut Cluster) {
    cluster.pass(Duration::from_secs(30));
}

fn resize(
    cluster: &mut Cluster,
    node: usize,
    size: Option<u64>,
    assume_clean: bool,
) -> Result<(), AdminError> {
    cluster.order(node, Admin::Resize { size, assume_clean })
}

/// What a grown device holds in its new part is anybody's guess.
fn enlarge(cluster: &mut Cluster, node: usize) {
    let disk = &mut cluster.nodes[node].disk;
    disk.room = SIZE + GROWTH;
    disk.blocks.insert(NEW, [node as u8 + 1; 4096]);
    disk.blocks.insert(SIZE / 4096, [node as u8 + 11; 4096]);
}

fn in_use(tiebreaker: bool) -> Cluster {
    let mut cluster = Cluster::started(tiebreaker, |_| {});
    cluster.promote(0).unwrap();
    cluster.write(0, 1, 1).unwrap();
    cluster
}

#[test]
fn both_sides_grow_under_a_primary_and_what_is_new_is_made_equal() {
    for tiebreaker in [false, true] {
        let mut cluster = in_use(tiebreaker);
        assert_eq!(cluster.write(0, NEW, 1), Err(ClientError::Invalid));
        enlarge(&mut cluster, 0);
        enlarge(&mut cluster, 1);
        cluster.sent.clear();
        resize(&mut cluster, 0, None, false).unwrap();
        settle(&mut cluster);
        assert!(cluster.is_in_sync());
        for node in 0..2 {
            assert!(cluster.said(node, &Event::Resized(SIZE + GROWTH)));
            assert_eq!(cluster.nodes[node].disk.superblock.size, SIZE + GROWTH);
        }
        assert_eq!((cluster.read(0, 1), cluster.read(0, NEW)), (Ok(1), Ok(1)));
        assert!(cluster.sent["SyncData"] < GROWTH / 32, "zeroes travel as zeroes: {:?}", cluster.sent);
        cluster.write(0, (SIZE + GROWTH) / 4096 - 1, 8).unwrap();
        assert_eq!(cluster.stored(1, (SIZE + GROWTH) / 4096 - 1), 8);
        // And after everybody was down, with the old size in everybody's configuration.
        (0..cluster.nodes.len()).for_each(|node| cluster.crash(node));
        (0..cluster.nodes.len()).for_each(|node| cluster.start(node));
        settle(&mut cluster);
        cluster.promote(1).unwrap();
        assert_eq!(cluster.read(1, NEW), Ok(1));
        assert!(cluster.is_in_sync());
    }
}

#[test]
fn what_is_assumed_clean_is_not_copied_and_a_size_may_be_named() {
    let mut cluster = in_use(false);
    for node in 0..2 {
        cluster.nodes[node].disk.room = SIZE + GROWTH;
    }
    cluster.sent.clear();
    resize(&mut cluster, 0, Some(SIZE + GROWTH / 2), true).unwrap();
    assert!(cluster.is_in_sync());
    assert!(!cluster.sent.contains_key("SyncRequest"), "{:?}", cluster.sent);
    assert_eq!(cluster.write(0, (SIZE + GROWTH / 2) / 4096, 1), Err(ClientError::Invalid));
    cluster.write(0, NEW, 3).unwrap();
    assert_eq!(cluster.stored(1, NEW), 3);
}

#[test]
fn growing_is_refused_by_name() {
    let mut cluster = in_use(false);
    assert_eq!(resize(&mut cluster, 0, None, false), Ok(()), "nothing to do");
    let shrink = Err(AdminError::Shrink(ShrinkError { from: SIZE, to: SIZE - 4096 }));
    assert_eq!(resize(&mut cluster, 0, Some(SIZE - 4096), false), shrink);
    cluster.nodes[0].disk.room = SIZE + GROWTH;
    let wanted = SIZE + GROWTH;
    let too_small = Err(AdminError::TooSmall { node: id(1), room: SIZE, wanted });
    assert_eq!(resize(&mut cluster, 0, Some(wanted), false), too_small);
    assert!(
        matches!(resize(&mut cluster, 1, None, false), Err(AdminError::State(why)) if why.contains("Primary"))
    );
    cluster.cut(0, 1);
    assert_eq!(resize(&mut cluster, 0, None, false), Err(AdminError::NotInSync(id(1))));
    assert_eq!(cluster.replica(0).config().size, SIZE);
    cluster.heal(0, 1);
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
}

#[test]
fn whoever_missed_it_grows_when_it_comes_back() {
    // Whatever was cut off when: after each number of messages.
    for messages in 0..30 {
        let mut cluster = in_use(false);
        enlarge(&mut cluster, 0);
        enlarge(&mut cluster, 1);
        cluster.order_begins_and_cut(0, Admin::Resize { size: None, assume_clean: false }, messages);
        cluster.crash(1);
        cluster.start(1);
        cluster.heal(0, 1);
        settle(&mut cluster);
        let size = cluster.replica(0).config().size;
        assert_eq!(cluster.replica(1).config().size, size, "after {messages} messages");
        resize(&mut cluster, 0, None, false).unwrap();
        settle(&mut cluster);
        assert!(cluster.is_in_sync(), "after {messages} messages");
        cluster.write(0, NEW, 7).unwrap();
        assert_eq!(cluster.stored(1, NEW), 7);
    }
}

#[test]
fn a_read_between_the_loss_of_a_block_and_the_peers_help_waits_for_it() {
    let mut cluster = Cluster::started(false, |config| config.on_io_error = OnIoError::PassOn);
    cluster.promote(0).unwrap();
    cluster.write(0, 5, 5).unwrap();
    cluster.write(0, 6, 6).unwrap();
    cluster.nodes[0].disk.bad_blocks.extend([5, 6]);
    assert_eq!((cluster.read(0, 5), cluster.read(0, 6)), (Ok(5), Ok(6)));
    settle(&mut cluster);
    assert_eq!(cluster.disk(0), DiskState::UpToDate);
}
