//! What the admin orders, and what he is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use std::time::Duration;

use cluster::{Cluster, SIZE, id};
use replica::config::QuorumPolicy;
use replica::generation::Generation;
use replica::io::ClientRequest;
use replica::metadata::Superblock;
use replica::promotion::PromotionError;
use replica::state::{ConnectionState, DiskState, ReplicationState, Role};
use replica::{Admin, AdminError, ClientError, Event, Handler};

fn settle(cluster: &mut Cluster) {
    cluster.pass(Duration::from_secs(5));
}

fn invalidate(cluster: &mut Cluster, node: usize) -> Result<(), AdminError> {
    cluster.order(node, Admin::Invalidate { peer: id(1 - node) })
}

#[test]
fn invalidate_brings_everything_from_the_peer() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.write(0, 3, 7).unwrap();
    cluster.nodes[1].disk.blocks.get_mut(&3).unwrap()[0] = 99;
    cluster.nodes[1].disk.blocks.insert(50, [1; 4096]);
    invalidate(&mut cluster, 1).unwrap();
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
    assert_eq!((cluster.stored(1, 3), cluster.stored(1, 50)), (7, 0));
    assert!(cluster.ran(1, Handler::BeforeResyncTarget(id(0))));
}

#[test]
fn invalidate_is_carried_out_in_spite_of_a_crash() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.write(0, 3, 7).unwrap();
    cluster.cut(0, 1);
    invalidate(&mut cluster, 1).unwrap();
    assert_eq!(cluster.disk(1), DiskState::Inconsistent);
    cluster.crash(1);
    cluster.nodes[1].disk.blocks.insert(50, [1; 4096]);
    cluster.start(1);
    assert_eq!(cluster.promote(1), Err(PromotionError::NoData(DiskState::Inconsistent).into()));
    cluster.heal(0, 1);
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
    assert_eq!((cluster.stored(1, 3), cluster.stored(1, 50)), (7, 0));
}

#[test]
fn a_full_copy_that_is_begun_twice_is_no_split_brain() {
    let mut cluster = Cluster::started(false, |config| config.sync.max_rate = 1 << 20);
    cluster.promote(0).unwrap();
    cluster.write(0, 3, 7).unwrap();
    cluster.order_begins(1, Admin::Invalidate { peer: id(0) });
    cluster.pass(Duration::from_millis(100));
    assert_eq!(cluster.peer(1, 0).replication, ReplicationState::SyncTarget);
    cluster.crash(1);
    // The second beginning is never recorded by the target.
    let handler = Handler::BeforeResyncTarget(id(0));
    cluster.going_on.insert(handler);
    cluster.start(1);
    cluster.pass(Duration::from_millis(100));
    assert_eq!(cluster.peer(0, 1).replication, ReplicationState::WFBitMapS);
    cluster.crash(1);
    cluster.going_on.clear();
    cluster.start(1);
    cluster.pass(Duration::from_secs(100));
    assert!(!cluster.said(0, &Event::SplitBrain(id(1))));
    assert!(cluster.is_in_sync());
}

#[test]
fn invalidate_is_refused_to_a_primary_and_without_a_good_source() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    assert!(matches!(invalidate(&mut cluster, 0), Err(AdminError::State(_))));
    cluster.demote(0).unwrap();
    cluster.nodes[1].disk.dead = true;
    cluster.promote(0).unwrap();
    cluster.write(0, 1, 1).unwrap();
    cluster.demote(0).unwrap();
    assert_eq!(cluster.disk(1), DiskState::Diskless);
    assert!(matches!(invalidate(&mut cluster, 0), Err(AdminError::State(_))));
    assert!(matches!(invalidate(&mut cluster, 1), Err(AdminError::State(_))));
    assert_eq!(cluster.order(0, Admin::Invalidate { peer: id(5) }), Err(AdminError::NoPeer(id(5))));
    assert_eq!(cluster.disk(0), DiskState::UpToDate);
}

#[test]
fn a_disk_that_was_invalidated_begins_no_generation_for_a_primary_that_lost_its_own() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.write(0, 3, 7).unwrap();
    // The Primary does not know of it yet.
    cluster.slow(1, 0);
    cluster.order_begins(1, Admin::Invalidate { peer: id(0) });
    cluster.nodes[0].disk.dead = true;
    cluster.write_begins(0, 4, 8);
    cluster.let_pass();
    assert_eq!((cluster.disk(0), cluster.disk(1)), (DiskState::Diskless, DiskState::Inconsistent));
    cluster.nodes[0].disk.dead = false;
    cluster.attach(0).unwrap();
    cluster.connect(0, 1);
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
    assert_eq!((cluster.stored(0, 3), cluster.stored(1, 3)), (7, 7));
}

#[test]
fn a_resync_does_not_end_while_a_generation_without_its_target_is_announced() {
    let mut cluster = Cluster::started(true, |config| config.quorum = QuorumPolicy::Majority);
    cluster.promote(0).unwrap();
    // Without quorum the loss of the target begins no generation; half of what it gets is on its way.
    cluster.slow(0, 1);
    let first = cluster.write_begins(0, 4, 4);
    cluster.crash(2);
    cluster.cut(0, 1);
    let handler = Handler::BeforeResyncTarget(id(0));
    cluster.going_on.insert(handler);
    cluster.let_pass();
    cluster.heal(0, 1);
    cluster.slow(0, 1);
    cluster.handler_ends(1, handler);
    cluster.cut(0, 1);
    assert_eq!(cluster.disk(1), DiskState::Inconsistent);
    cluster.let_pass();
    cluster.start(2);
    cluster.going_on.insert(handler);
    cluster.mute(2, 0);
    cluster.heal(0, 1);
    assert_eq!(cluster.peer(0, 1).replication, ReplicationState::WFBitMapS);
    let write = cluster.write_begins(0, 5, 5);
    cluster.handler_ends(1, handler);
    cluster.pass(Duration::from_millis(400));
    assert_eq!(cluster.peer(0, 1).replication, ReplicationState::SyncSource);
    cluster.let_pass();
    settle(&mut cluster);
    for write in [first, write] {
        assert_eq!(cluster.nodes[0].replies.remove(&write), Some(Ok(None)));
    }
    assert!(cluster.is_in_sync());
    cluster.demote(0).unwrap();
    cluster.promote(1).unwrap();
    assert_eq!(cluster.stored(1, 5), 5);
}

#[test]
fn invalidate_is_refused_where_the_newest_data_is_and_the_peer_is_away() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.cut(0, 1);
    cluster.write(0, 1, 1).unwrap();
    cluster.demote(0).unwrap();
    assert!(matches!(invalidate(&mut cluster, 0), Err(AdminError::State(_))));
    assert_eq!(cluster.disk(0), DiskState::UpToDate);
    invalidate(&mut cluster, 1).unwrap();
    cluster.heal(0, 1);
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
    assert_eq!(cluster.stored(1, 1), 1);
}

#[test]
fn invalidate_remote_sends_everything() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.nodes[1].disk.blocks.insert(50, [1; 4096]);
    cluster.order(0, Admin::InvalidateRemote { peer: id(1) }).unwrap();
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
    assert_eq!(cluster.stored(1, 50), 0);
    cluster.promote(1).unwrap();
    let refused = cluster.order(0, Admin::InvalidateRemote { peer: id(1) });
    assert!(matches!(refused, Err(AdminError::State(_))), "{refused:?}");
}

#[test]
fn outdate_keeps_a_lonely_secondary_from_being_promoted() {
    let mut cluster = Cluster::started(false, |_| {});
    let connected = cluster.order(1, Admin::Outdate);
    assert!(matches!(connected, Err(AdminError::State(_))), "{connected:?}");
    cluster.cut(0, 1);
    cluster.order(1, Admin::Outdate).unwrap();
    assert_eq!(cluster.promote(1), Err(PromotionError::NoData(DiskState::Outdated).into()));
    cluster.crash(1);
    cluster.start(1);
    assert_eq!(cluster.promote(1), Err(PromotionError::NoData(DiskState::Outdated).into()));
    cluster.promote(0).unwrap();
    assert!(matches!(cluster.order(0, Admin::Outdate), Err(AdminError::State(_))));
    cluster.heal(0, 1);
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
}

#[test]
fn suspended_io_waits_and_goes_on() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.order(0, Admin::SuspendIo).unwrap();
    let write = cluster.write_begins(0, 1, 5);
    let flush = cluster.ask(0, ClientRequest::Flush);
    settle(&mut cluster);
    assert!(cluster.nodes[0].replies.is_empty());
    assert_eq!(cluster.demote(0), Err(AdminError::Suspended));
    cluster.order(0, Admin::ResumeIo).unwrap();
    assert_eq!(cluster.nodes[0].replies.remove(&write), Some(Ok(None)));
    assert_eq!(cluster.nodes[0].replies.remove(&flush), Some(Ok(None)));
    assert_eq!(cluster.stored(1, 1), 5);
}

#[test]
fn forced_demotion_fails_what_is_suspended() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.order(0, Admin::SuspendIo).unwrap();
    let write = cluster.write_begins(0, 1, 5);
    cluster.order(0, Admin::Demote { force: true }).unwrap();
    assert_eq!(cluster.nodes[0].replies.remove(&write), Some(Err(ClientError::Io)));
    assert_eq!(cluster.role(0), Role::Secondary);
}

#[test]
fn disconnect_in_good_order_outdates_the_secondary_and_copies_only_what_changed() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.write(0, 1, 1).unwrap();
    cluster.flush(0).unwrap();
    cluster.order(1, Admin::Disconnect { peer: id(0) }).unwrap();
    assert_eq!(
        (cluster.disk(1), cluster.connection(1, 0)),
        (DiskState::Outdated, ConnectionState::StandAlone)
    );
    cluster.write(0, 2, 2).unwrap();
    cluster.write(0, 3, 3).unwrap();
    cluster.sent.clear();
    cluster.connect(0, 1);
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
    let bytes = cluster.sent["SyncData"];
    assert!((2 * 4096..2 * 4096 + 400).contains(&bytes), "{bytes} bytes for two blocks");
}

fn blank(tiebreaker: bool) -> Cluster {
    let mut cluster = Cluster::new(tiebreaker, |_| {});
    for node in 0..2 {
        let config = cluster.nodes[node].config.clone();
        cluster.nodes[node].disk.superblock = Superblock::just_created(&config);
    }
    for node in 0..cluster.nodes.len() {
        cluster.start(node);
    }
    cluster
}

#[test]
fn new_current_uuid_clear_bitmap_skips_the_first_sync_of_blank_disks() {
    let mut cluster = blank(false);
    assert_eq!(cluster.promote(0), Err(PromotionError::NoData(DiskState::Inconsistent).into()));
    cluster.order(0, Admin::SkipInitialSync).unwrap();
    assert!(cluster.is_in_sync());
    assert!(!cluster.sent.contains_key("SyncData"));
    let generation = |node: usize| cluster.replica(node).generations().unwrap().current;
    assert_eq!(generation(0), generation(1));
    assert_ne!(generation(0), Generation::JUST_CREATED);
    assert!(matches!(cluster.order(0, Admin::SkipInitialSync), Err(AdminError::State(_))), "only once");
}

#[test]
fn the_first_sync_of_blank_disks_goes_from_the_one_that_is_forced() {
    let mut cluster = blank(true);
    cluster.order(1, Admin::Promote { force: true, wall_clock: 1 }).unwrap();
    cluster.write(1, 9, 9).unwrap();
    cluster.pass(Duration::from_secs(30));
    assert!(cluster.is_in_sync());
    assert_eq!(cluster.stored(0, 9), 9);
}

#[test]
fn a_volume_that_grew_while_it_was_down_is_made_equal_at_its_end() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.write(0, 1, 1).unwrap();
    cluster.flush(0).unwrap();
    cluster.demote(0).unwrap();
    let size = SIZE + 8 * 1024 * 1024;
    for node in 0..2 {
        cluster.crash(node);
    }
    for node in 0..2 {
        cluster.grow(node, size);
        // What a grown device holds in its new part is anybody's guess.
        cluster.nodes[node].disk.blocks.insert(SIZE / 4096 + 5, [node as u8 + 1; 4096]);
        cluster.start(node);
    }
    cluster.promote(1).unwrap();
    cluster.pass(Duration::from_secs(30));
    assert!(cluster.is_in_sync());
    assert_eq!(cluster.read(1, 1), Ok(1));
    cluster.write(1, size / 4096 - 1, 8).unwrap();
    assert_eq!(cluster.stored(0, size / 4096 - 1), 8);
}

#[test]
fn promotion_is_refused_with_the_reason() {
    let refused = |cluster: &mut Cluster, node, reason: PromotionError| {
        assert_eq!(cluster.promote(node), Err(reason.into()));
    };
    let mut cluster =
        Cluster::started(true, |config| config.quorum = replica::config::QuorumPolicy::Majority);
    cluster.promote(0).unwrap();
    refused(&mut cluster, 1, PromotionError::PeerIsPrimary(id(0)));
    refused(&mut cluster, 2, PromotionError::Tiebreaker);
    // Cut off from the Primary, the tiebreaker speaks for it.
    cluster.cut(0, 1);
    let answer = cluster.promote(1);
    assert!(
        matches!(
            answer,
            Err(AdminError::Promotion(PromotionError::PeerIsPrimary(_) | PromotionError::Refused { .. }))
        ),
        "{answer:?}"
    );
    cluster.write(0, 1, 1).unwrap();
    // Once the Primary has gone on and fallen, its tiebreaker still knows it.
    cluster.crash(0);
    let answer = cluster.promote(1);
    assert!(matches!(answer, Err(AdminError::Promotion(_))), "{answer:?}");
    cluster.cut(1, 2);
    let answer = cluster.promote(1);
    assert!(
        matches!(answer, Err(AdminError::Promotion(PromotionError::NoData(_) | PromotionError::NoQuorum))),
        "{answer:?}"
    );
}

#[test]
fn promotion_alone_needs_quorum() {
    let mut cluster = Cluster::new(true, |config| config.quorum = replica::config::QuorumPolicy::Majority);
    cluster.start(0);
    assert_eq!(cluster.promote(0), Err(PromotionError::NoQuorum.into()));
    cluster.start(2);
    assert_eq!(cluster.promote(0), Err(PromotionError::NoQuorum.into()), "a tie is kept, not won");
    cluster.start(1);
    cluster.promote(0).unwrap();
}

#[test]
fn demotion_is_refused_while_it_is_open_and_names_who_has_it() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.order(0, Admin::Opened { holder: "qemu (4711)".to_owned() }).unwrap();
    assert_eq!(cluster.demote(0), Err(AdminError::HeldOpen("qemu (4711)".to_owned())));
    cluster.order(0, Admin::Closed { holder: "qemu (4711)".to_owned() }).unwrap();
    cluster.demote(0).unwrap();
}

#[test]
fn verify_finds_exactly_what_differs_and_a_reconnection_mends_it() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    for block in 0..20 {
        cluster.write(0, block, 1).unwrap();
    }
    cluster.flush(0).unwrap();
    for block in [3, 11, 12, 9000] {
        cluster.nodes[1].disk.blocks.entry(block).or_insert([0; 4096])[100] = 0xEE;
    }
    cluster.order(0, Admin::Verify { peer: id(1) }).unwrap();
    settle(&mut cluster);
    assert!(cluster.said(0, &Event::VerifyDone(id(1), 4)));
    let marked = |node: usize| {
        let bitmap = cluster.replica(node).bitmap(id(1 - node)).unwrap();
        (0..bitmap.blocks()).filter(|block| bitmap.is_dirty(*block)).collect::<Vec<_>>()
    };
    assert_eq!((marked(0), marked(1)), (vec![3, 11, 12, 9000], vec![3, 11, 12, 9000]));
    assert_eq!(cluster.peer(0, 1).replication, ReplicationState::Established);
    cluster.sent.clear();
    cluster.cut(0, 1);
    cluster.heal(0, 1);
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
    assert!(cluster.sent["SyncData"] < 5 * 4096, "{:?}", cluster.sent);
}

#[test]
fn with_checksums_equal_blocks_are_not_copied() {
    let mut cluster = Cluster::started(false, |config| config.sync.checksums = true);
    cluster.promote(0).unwrap();
    for block in 0..64 {
        cluster.write(0, block, 3).unwrap();
    }
    cluster.nodes[1].disk.blocks.get_mut(&40).unwrap()[7] = 1;
    invalidate(&mut cluster, 1).unwrap();
    cluster.pass(Duration::from_secs(30));
    assert!(cluster.is_in_sync());
    let bytes = cluster.sent["SyncData"];
    assert!(bytes <= 33 * 4096, "{bytes} bytes for one block, asked for in requests of 32");
    assert!(cluster.sent["SyncEqual"] > 0);
}
