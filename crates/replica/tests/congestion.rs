//! A peer that does not keep up: when it is left behind, what is promised meanwhile, and how it is brought back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use std::time::Duration;

use cluster::{Cluster, id};
use replica::config::{Config, Congestion, OnCongestion, Protocol};
use replica::ids::BLOCK_BYTES;
use replica::io::ClientRequest;
use replica::promotion::PromotionError;
use replica::state::{ConnectionState, DiskState, ReplicationState};
use replica::{Admin, AdminError, ClientError, Event};

/// Two blocks on their way are too much.
fn two_blocks(policy: OnCongestion) -> impl Fn(&mut Config) {
    move |config| {
        config.protocol = Protocol::A;
        config.congestion = Congestion { policy, fill_bytes: 2 * BLOCK_BYTES, extents: None };
    }
}

/// Node 0 is Primary, both have block 1, and data from node 0 does not arrive at node 1.
fn slow(tiebreaker: bool, change: impl Fn(&mut Config)) -> Cluster {
    let mut cluster = Cluster::started(tiebreaker, change);
    cluster.promote(0).unwrap();
    cluster.write(0, 1, 1).unwrap();
    cluster.flush(0).unwrap();
    assert!(cluster.is_in_sync());
    cluster.slow(0, 1);
    cluster
}

/// And node 0 went Ahead: blocks 2 and 3 were sent, 4 was not.
fn ahead() -> Cluster {
    let mut cluster = slow(false, two_blocks(OnCongestion::PullAhead));
    for block in 2..=4 {
        cluster.write(0, block, block as u8).unwrap();
    }
    assert_eq!(cluster.peer(0, 1).replication, ReplicationState::Ahead);
    cluster
}

fn settle(cluster: &mut Cluster) {
    cluster.pass(Duration::from_secs(20));
}

fn is_brought_back(mut cluster: Cluster, blocks: std::ops::RangeInclusive<u64>) {
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
    for block in blocks {
        assert_eq!(cluster.stored(1, block), block as u8, "block {block}");
    }
}

#[test]
fn a_primary_goes_ahead_at_the_limit_and_comes_back_by_itself() {
    let mut cluster = slow(false, two_blocks(OnCongestion::PullAhead));
    let before = cluster.replica(0).generations().unwrap().current;
    for block in 2..=3 {
        cluster.write(0, block, block as u8).unwrap();
        assert_eq!(cluster.peer(0, 1).replication, ReplicationState::Established, "block {block}");
    }
    for block in 4..=6 {
        cluster.write(0, block, block as u8).unwrap();
    }
    assert_eq!(cluster.peer(0, 1).replication, ReplicationState::Ahead);
    assert_eq!(cluster.peer(1, 0).replication, ReplicationState::Behind);
    assert_eq!((cluster.disk(0), cluster.disk(1)), (DiskState::UpToDate, DiskState::Outdated));
    // On disk, of both.
    assert!(!cluster.nodes[1].disk.superblock.was_up_to_date);
    let recorded = &cluster.nodes[0].disk.superblock.generations;
    assert!(!recorded.current.same(before) && recorded.slot(id(1)).same(before));
    // What was sent and not confirmed, and what was not sent; nothing else.
    let bitmap = cluster.replica(0).bitmap(id(1)).unwrap();
    assert_eq!((0..20).filter(|block| bitmap.is_dirty(*block)).collect::<Vec<_>>(), vec![2, 3, 4, 5, 6]);
    assert_eq!(bitmap.dirty(), 5);
    assert_eq!(cluster.flush(0), Ok(()), "it does not wait for a peer that is outdated");
    assert_eq!(cluster.stored(1, 4), 0);
    cluster.let_pass();
    assert!(cluster.said(0, &Event::Replication(id(1), ReplicationState::SyncSource)));
    assert!(cluster.said(1, &Event::Replication(id(0), ReplicationState::SyncTarget)));
    is_brought_back(cluster, 1..=6);
}

#[test]
fn it_goes_ahead_again_and_again() {
    let mut cluster = ahead();
    for round in 1..5 {
        cluster.let_pass();
        settle(&mut cluster);
        assert!(cluster.is_in_sync());
        cluster.slow(0, 1);
        for block in 0..5 {
            cluster.write(0, 100 + block, round).unwrap();
        }
        assert_eq!(cluster.peer(0, 1).replication, ReplicationState::Ahead, "round {round}");
    }
}

#[test]
fn nothing_begins_before_the_peer_knows_that_it_is_outdated() {
    let mut cluster = slow(false, two_blocks(OnCongestion::PullAhead));
    let before = cluster.replica(0).generations().unwrap().current;
    cluster.write(0, 2, 2).unwrap();
    cluster.write(0, 3, 3).unwrap();
    cluster.mute(1, 0);
    let write = cluster.write_begins(0, 4, 4);
    let flush = cluster.ask(0, ClientRequest::Flush);
    assert_eq!(cluster.peer(0, 1).replication, ReplicationState::Ahead);
    assert!(!cluster.nodes[0].replies.contains_key(&write) && !cluster.nodes[0].replies.contains_key(&flush));
    assert_eq!(cluster.stored(0, 4), 0);
    assert!(cluster.replica(0).generations().unwrap().current.same(before), "it could still be promoted");
    cluster.let_pass();
    settle(&mut cluster);
    assert_eq!(cluster.nodes[0].replies[&write], Ok(None));
    assert_eq!(cluster.nodes[0].replies[&flush], Ok(None));
    is_brought_back(cluster, 1..=4);
}

#[test]
fn nothing_is_let_in_before_the_tiebreaker_knows_the_new_generation() {
    let mut cluster = slow(true, two_blocks(OnCongestion::PullAhead));
    cluster.write(0, 2, 2).unwrap();
    cluster.write(0, 3, 3).unwrap();
    cluster.mute(2, 0);
    let write = cluster.write_begins(0, 4, 4);
    assert_eq!(cluster.peer(1, 0).replication, ReplicationState::Behind);
    assert!(!cluster.nodes[0].replies.contains_key(&write));
    assert_eq!(cluster.stored(0, 4), 0);
    cluster.let_pass();
    settle(&mut cluster);
    assert_eq!(cluster.nodes[0].replies[&write], Ok(None));
    is_brought_back(cluster, 1..=4);
}

#[test]
fn a_peer_that_is_lost_while_it_is_behind_is_brought_back_later() {
    let mut cluster = ahead();
    cluster.cut(0, 1);
    cluster.write(0, 5, 5).unwrap();
    cluster.let_pass();
    cluster.heal(0, 1);
    is_brought_back(cluster, 1..=5);
}

#[test]
fn a_primary_that_crashes_ahead_of_its_peer_brings_it_back() {
    let mut cluster = ahead();
    cluster.write(0, 5000, 5000u64 as u8).unwrap();
    cluster.flush(0).unwrap();
    cluster.crash(0);
    let refused = Err(AdminError::Promotion(PromotionError::NoData(DiskState::Outdated)));
    assert_eq!(cluster.promote(1), refused);
    cluster.let_pass();
    cluster.start(0);
    settle(&mut cluster);
    assert_eq!(cluster.stored(1, 5000), 5000u64 as u8);
    is_brought_back(cluster, 1..=4);
}

#[test]
fn a_peer_that_is_behind_is_promoted_by_force_only() {
    let mut cluster = ahead();
    let primary = AdminError::Promotion(PromotionError::PeerIsPrimary(id(0)));
    assert_eq!(cluster.promote(1), Err(primary));
    cluster.crash(1);
    cluster.cut(0, 1);
    cluster.start(1);
    assert_eq!(cluster.disk(1), DiskState::Outdated, "after a crash of its own too");
    let refused = AdminError::Promotion(PromotionError::NoData(DiskState::Outdated));
    assert_eq!(cluster.promote(1), Err(refused));
    assert_eq!(cluster.order(1, Admin::Promote { force: true, wall_clock: 9 }), Ok(()));
}

#[test]
fn after_a_demotion_the_peer_is_brought_back_before_it_is_promoted() {
    let mut cluster = ahead();
    cluster.demote(0).unwrap();
    assert_eq!(cluster.peer(1, 0).replication, ReplicationState::Behind);
    assert!(cluster.promote(1).is_err());
    cluster.let_pass();
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
    cluster.promote(1).unwrap();
    assert_eq!(cluster.read(1, 4), Ok(4));
}

#[test]
fn without_its_own_disk_a_primary_does_not_read_what_is_behind() {
    let mut cluster = ahead();
    assert!(cluster.order(0, Admin::Detach).is_err(), "it is the only good disk");
    cluster.nodes[0].disk.bad_data = true;
    let read = cluster.ask(0, ClientRequest::Read { offset: BLOCK_BYTES, len: BLOCK_BYTES });
    assert!(!matches!(cluster.nodes[0].replies.get(&read), Some(Ok(_))));
    cluster.let_pass();
    settle(&mut cluster);
    assert_eq!(cluster.disk(0), DiskState::Diskless);
    assert_eq!(cluster.nodes[0].replies[&read], Err(ClientError::Io));
    assert_eq!(cluster.write(0, 7, 7), Err(ClientError::Io));
    assert_eq!(cluster.disk(1), DiskState::Outdated);
}

#[test]
fn with_disconnect_the_peer_is_let_go_and_brought_back() {
    let mut cluster = slow(false, two_blocks(OnCongestion::Disconnect));
    for block in 2..=3 {
        cluster.write(0, block, block as u8).unwrap();
    }
    assert_eq!(cluster.connection(0, 1), ConnectionState::Connected);
    // It waits for the handshake of the next connection, which is as slow.
    let write = cluster.write_begins(0, 4, 4);
    assert!(cluster.said(0, &Event::Connection(id(1), ConnectionState::NetworkFailure)));
    assert!(cluster.peer(0, 1).dirty_blocks >= 2);
    assert!(!cluster.said(0, &Event::Replication(id(1), ReplicationState::Ahead)));
    cluster.let_pass();
    settle(&mut cluster);
    assert_eq!(cluster.nodes[0].replies[&write], Ok(None));
    is_brought_back(cluster, 1..=4);
}

#[test]
fn extents_of_the_activity_log_count_too() {
    let extents = |config: &mut Config| {
        config.protocol = Protocol::A;
        config.congestion = Congestion { policy: OnCongestion::PullAhead, fill_bytes: 0, extents: Some(2) };
    };
    let mut cluster = slow(false, extents);
    for block in [2, 3, 4, 1024] {
        cluster.write(0, block, 9).unwrap();
        assert_eq!(cluster.peer(0, 1).replication, ReplicationState::Established, "block {block}");
    }
    cluster.write(0, 2048, 9).unwrap();
    assert_eq!(cluster.peer(0, 1).replication, ReplicationState::Ahead);
    cluster.let_pass();
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
}

#[test]
fn nothing_is_done_where_nothing_is_said() {
    let mut cluster = slow(false, two_blocks(OnCongestion::Block));
    for block in 2..=50 {
        cluster.write(0, block, block as u8).unwrap();
    }
    assert_eq!(cluster.peer(0, 1).replication, ReplicationState::Established);
    cluster.let_pass();
    is_brought_back(cluster, 1..=50);
}
