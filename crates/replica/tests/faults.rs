//! Nodes that fall, disks that fail, peers that have to be fenced.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use std::time::Duration;

use cluster::{Cluster, id};
use replica::config::{Fencing, OnIoError, Protocol, QuorumPolicy};
use replica::io::ClientRequest;
use replica::promotion::PromotionError;
use replica::state::{ConnectionState, DiskState, ReplicationState, Role};
use replica::{Admin, AdminError, ClientError, Event, Handler};

fn settle(cluster: &mut Cluster) {
    cluster.pass(Duration::from_secs(20));
}

#[test]
fn crash_of_the_primary_loses_nothing_that_was_flushed() {
    for protocol in [Protocol::A, Protocol::B, Protocol::C] {
        let mut cluster = Cluster::started(false, |config| config.protocol = protocol);
        cluster.promote(0).unwrap();
        cluster.write(0, 1, 1).unwrap();
        cluster.flush(0).unwrap();
        cluster.crash(0);
        cluster.promote(1).unwrap();
        assert_eq!(cluster.read(1, 1), Ok(1));
        cluster.write(1, 2, 2).unwrap();
        cluster.start(0);
        settle(&mut cluster);
        assert!(cluster.is_in_sync());
    }
}

#[test]
fn crash_of_both_and_the_active_extents_are_made_equal() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.write(0, 1, 1).unwrap();
    cluster.write(0, 8000, 2).unwrap();
    cluster.crash(0);
    cluster.crash(1);
    // One kept what the other lost.
    cluster.nodes[1].disk.blocks.insert(1, [1; 4096]);
    cluster.start(0);
    cluster.start(1);
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
}

#[test]
fn a_flush_reports_writes_that_went_with_the_peers_cache_once() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.order(0, Admin::Detach).unwrap();
    cluster.write(0, 1, 1).unwrap();
    cluster.crash(1);
    cluster.start(1);
    settle(&mut cluster);
    assert_eq!(cluster.read(0, 1), Ok(0), "it was answered, and it is gone");
    assert_eq!(cluster.flush(0), Err(ClientError::Io));
    assert_eq!(cluster.flush(0), Ok(()));
}

#[test]
fn a_flush_does_not_cry_wolf_when_only_the_wire_was_cut() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.order(0, Admin::Detach).unwrap();
    cluster.write(0, 1, 1).unwrap();
    cluster.cut(0, 1);
    cluster.heal(0, 1);
    settle(&mut cluster);
    assert_eq!(cluster.read(0, 1), Ok(1));
    assert_eq!(cluster.flush(0), Ok(()));
}

#[test]
fn a_detached_primary_goes_on_over_its_peer_and_comes_back_with_what_changed() {
    for order in [true, false] {
        let mut cluster = Cluster::started(false, |_| {});
        cluster.promote(0).unwrap();
        cluster.write(0, 1, 1).unwrap();
        if order {
            cluster.order(0, Admin::Detach).unwrap();
        } else {
            cluster.nodes[0].disk.bad_data = true;
        }
        cluster.write(0, 2, 2).unwrap();
        assert_eq!(cluster.disk(0), DiskState::Diskless);
        assert_eq!((cluster.read(0, 1), cluster.read(0, 2)), (Ok(1), Ok(2)));
        cluster.flush(0).unwrap();
        cluster.nodes[0].disk.bad_data = false;
        cluster.sent.clear();
        cluster.attach(0).unwrap();
        settle(&mut cluster);
        assert!(cluster.is_in_sync());
        assert!(cluster.stored(0, 2) == 2 && cluster.sent["SyncData"] < 1100 * 4096, "{:?}", cluster.sent);
    }
}

#[test]
fn a_disk_that_others_went_on_without_says_so_when_it_comes_back_alone() {
    // Given up on order, and by an error that spares the metadata.
    for order in [true, false] {
        let mut cluster = Cluster::started(false, |_| {});
        cluster.promote(1).unwrap();
        if order {
            cluster.order(0, Admin::Detach).unwrap();
        } else {
            cluster.nodes[0].disk.bad_data = true;
        }
        cluster.write(1, 1, 1).unwrap();
        cluster.flush(1).unwrap();
        assert_eq!(cluster.disk(0), DiskState::Diskless);
        cluster.crash(0);
        cluster.crash(1);
        cluster.nodes[0].disk.bad_data = false;
        cluster.start(0);
        assert_eq!(cluster.promote(0), Err(PromotionError::NoData(DiskState::Outdated).into()));
        cluster.start(1);
        settle(&mut cluster);
        assert!(cluster.is_in_sync());
        assert_eq!(cluster.stored(0, 1), 1);
    }
}

#[test]
fn a_node_without_its_disk_does_not_help_to_win_quorum() {
    let mut cluster = Cluster::started(true, |config| config.quorum = QuorumPolicy::Majority);
    cluster.promote(0).unwrap();
    cluster.cut(1, 2);
    cluster.cut(0, 1);
    cluster.write(0, 1, 1).unwrap();
    cluster.flush(0).unwrap();
    for node in 0..3 {
        cluster.crash(node);
    }
    cluster.nodes[0].disk.dead = true;
    cluster.heal(0, 1);
    cluster.heal(1, 2);
    for node in 0..3 {
        cluster.start(node);
    }
    assert_eq!(cluster.promote(1), Err(PromotionError::NoQuorum.into()), "the only disk that knows is away");
    cluster.nodes[0].disk.dead = false;
    cluster.attach(0).unwrap();
    settle(&mut cluster);
    cluster.promote(1).unwrap();
    assert_eq!(cluster.read(1, 1), Ok(1));
}

#[test]
fn a_generation_that_the_tiebreaker_never_heard_of_is_no_split_brain() {
    let mut cluster = Cluster::started(true, |config| config.quorum = QuorumPolicy::Majority);
    cluster.promote(0).unwrap();
    cluster.write(0, 1, 1).unwrap();
    // First the tiebreaker, then the peer: the Primary is alone before it can tell anybody.
    cluster.cut(0, 2);
    let write = cluster.write_begins(0, 2, 2);
    assert!(cluster.nodes[0].replies.remove(&write).is_some(), "both disks are a majority");
    cluster.cut(0, 1);
    let unanswered = cluster.write_begins(0, 3, 3);
    cluster.heal(1, 2);
    let answer = cluster.promote(1);
    assert!(answer.is_ok() || matches!(answer, Err(AdminError::Promotion(_))), "{answer:?}");
    cluster.order(0, Admin::Demote { force: true }).unwrap();
    assert_eq!(cluster.nodes[0].replies.remove(&unanswered), Some(Err(ClientError::Io)));
    cluster.heal(0, 1);
    cluster.heal(0, 2);
    settle(&mut cluster);
    assert!(!cluster.said(0, &Event::SplitBrain(id(1))));
    assert!(cluster.is_in_sync());
}

#[test]
fn on_io_error_pass_on_serves_from_the_peer_and_mends_the_block() {
    let mut cluster = Cluster::started(false, |config| config.on_io_error = OnIoError::PassOn);
    cluster.promote(0).unwrap();
    cluster.write(0, 5, 5).unwrap();
    cluster.write(0, 6, 6).unwrap();
    cluster.nodes[0].disk.bad_blocks.insert(5);
    cluster.sent.clear();
    assert_eq!(cluster.read(0, 5), Ok(5));
    settle(&mut cluster);
    assert!(cluster.is_in_sync(), "the peer brought it back");
    assert!(cluster.nodes[0].disk.bad_blocks.is_empty());
    assert!(cluster.sent["SyncData"] < 2 * 4096, "{:?}", cluster.sent);
    // Alone there is nobody to ask: the client is told, and the rest of the disk stays.
    cluster.crash(1);
    cluster.nodes[0].disk.bad_blocks.insert(5);
    assert_eq!((cluster.read(0, 5), cluster.read(0, 6)), (Err(ClientError::Io), Ok(6)));
    assert_eq!(cluster.disk(0), DiskState::UpToDate);
}

#[test]
fn on_io_error_detach_and_call_handler() {
    for policy in [OnIoError::Detach, OnIoError::CallHandler] {
        let mut cluster = Cluster::started(false, |config| config.on_io_error = policy);
        cluster.promote(0).unwrap();
        cluster.write(0, 5, 5).unwrap();
        cluster.nodes[0].disk.bad_blocks.insert(5);
        assert_eq!(cluster.read(0, 5), Ok(5));
        assert_eq!(cluster.disk(0), DiskState::Diskless);
        assert_eq!(cluster.ran(0, Handler::LocalIoError), policy == OnIoError::CallHandler);
    }
}

#[test]
fn disk_error_of_the_secondary_is_not_the_primarys_matter() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.nodes[1].disk.bad_data = true;
    cluster.write(0, 1, 1).unwrap();
    cluster.flush(0).unwrap();
    assert_eq!((cluster.disk(1), cluster.peer(0, 1).disk), (DiskState::Diskless, DiskState::Diskless));
    cluster.nodes[1].disk.bad_data = false;
    cluster.attach(1).unwrap();
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
}

#[test]
fn crash_during_resync_goes_on_where_it_was() {
    for victim in [0, 1] {
        let mut cluster = Cluster::started(false, |config| config.sync.max_rate = 1 << 20);
        cluster.promote(0).unwrap();
        cluster.cut(0, 1);
        for block in 0..200 {
            cluster.write(0, block, 4).unwrap();
        }
        cluster.flush(0).unwrap();
        cluster.heal(0, 1);
        cluster.pass(Duration::from_millis(300));
        assert_eq!(cluster.peer(1, 0).replication, ReplicationState::SyncTarget);
        assert_eq!(cluster.disk(1), DiskState::Inconsistent);
        cluster.crash(victim);
        if victim == 0 {
            let refused = Err(PromotionError::NoData(DiskState::Inconsistent).into());
            assert_eq!(cluster.promote(1), refused, "half of the new and half of the old is no data");
        }
        cluster.start(victim);
        settle(&mut cluster);
        assert!(cluster.is_in_sync());
    }
}

fn fenced(fencing: Fencing, exit_code: i32) -> (Cluster, u64) {
    let mut cluster = Cluster::started(false, |config| config.fencing = fencing);
    cluster.promote(0).unwrap();
    cluster.exit_codes.insert(Handler::FencePeer(id(1)), exit_code);
    cluster.crash(1);
    let write = cluster.write_begins(0, 1, 1);
    assert!(cluster.ran(0, Handler::FencePeer(id(1))));
    (cluster, write)
}

#[test]
fn fence_peer_3_4_5_and_7_let_the_primary_go_on() {
    for exit_code in [3, 4, 5, 7] {
        let (mut cluster, write) = fenced(Fencing::ResourceAndStonith, exit_code);
        assert_eq!(cluster.nodes[0].replies.remove(&write), Some(Ok(None)), "exit code {exit_code}");
    }
}

#[test]
fn fence_peer_6_and_failures_keep_io_frozen_until_the_admin_says_otherwise() {
    for exit_code in [0, 1, 2, 6, 8, 255, -1] {
        let (mut cluster, write) = fenced(Fencing::ResourceAndStonith, exit_code);
        assert_eq!(cluster.nodes[0].replies.get(&write), None, "exit code {exit_code}");
        assert!(cluster.said(0, &Event::FencingFailed(id(1), exit_code)));
        cluster.order(0, Admin::ResumeIo).unwrap();
        assert_eq!(cluster.nodes[0].replies.remove(&write), Some(Ok(None)));
    }
}

#[test]
fn resource_and_stonith_waits_for_the_handler_and_resource_only_does_not() {
    for (fencing, waits) in [(Fencing::ResourceAndStonith, true), (Fencing::ResourceOnly, false)] {
        let mut cluster = Cluster::started(false, |config| config.fencing = fencing);
        cluster.promote(0).unwrap();
        cluster.crash(1);
        let write = cluster.write_begins(0, 1, 1);
        assert_eq!(cluster.nodes[0].replies.contains_key(&write), !waits);
        assert!(cluster.ran(0, Handler::FencePeer(id(1))));
    }
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.crash(1);
    cluster.write(0, 1, 1).unwrap();
    assert!(!cluster.ran(0, Handler::FencePeer(id(1))));
}

#[test]
fn promotion_without_the_peer_stands_or_falls_with_the_handler() {
    // Cut, not crashed: the disk here is UpToDate.
    for (exit_code, allowed) in [(3, true), (4, true), (5, true), (7, true), (6, false), (1, false)] {
        let mut cluster = Cluster::started(false, |config| config.fencing = Fencing::ResourceAndStonith);
        cluster.exit_codes.insert(Handler::FencePeer(id(1)), exit_code);
        cluster.cut(0, 1);
        let answer = cluster.promote(0);
        assert_eq!(answer.is_ok(), allowed, "exit code {exit_code}: {answer:?}");
        if exit_code == 6 {
            assert_eq!(cluster.disk(0), DiskState::Outdated, "the peer is Primary: we are outdated");
        }
    }
    // After a restart alone it is not known whether the peer went on: unreachable is not enough.
    for (exit_code, allowed) in [(4, true), (5, false), (7, true)] {
        let mut cluster = Cluster::started(false, |config| config.fencing = Fencing::ResourceAndStonith);
        cluster.exit_codes.insert(Handler::FencePeer(id(1)), exit_code);
        cluster.crash(1);
        cluster.crash(0);
        cluster.start(0);
        assert_eq!(cluster.promote(0).is_ok(), allowed, "exit code {exit_code}");
    }
}

#[test]
fn a_fence_handler_that_ends_after_the_peer_was_here_says_nothing() {
    let mut cluster = Cluster::started(false, |config| config.fencing = Fencing::ResourceAndStonith);
    let (fence, unfence) = (Handler::FencePeer(id(1)), Handler::UnfencePeer(id(1)));
    cluster.nodes[0].handlers.clear();
    cluster.exit_codes.insert(fence, 4);
    cluster.going_on.insert(fence);
    cluster.cut(0, 1);
    let promotion = cluster.order_begins(0, Admin::Promote { force: false, wall_clock: 1 });
    cluster.heal(0, 1);
    assert!(cluster.is_in_sync());
    cluster.cut(0, 1);
    assert_eq!(cluster.nodes[0].handlers, [fence], "one at a time");
    cluster.handler_ends(0, fence);
    let refused = Err(PromotionError::ConnectionLost(id(1)).into());
    assert_eq!(cluster.nodes[0].orders.remove(&promotion), Some(refused));
    assert_eq!(cluster.nodes[0].handlers, [fence, unfence], "what it did is taken back");
    cluster.promote(0).unwrap();
    assert_eq!(cluster.nodes[0].handlers, [fence, unfence, fence]);
}

#[test]
fn a_primary_that_loses_the_peer_again_has_it_fenced_again() {
    let mut cluster = Cluster::started(false, |config| config.fencing = Fencing::ResourceAndStonith);
    let fence = Handler::FencePeer(id(1));
    cluster.promote(0).unwrap();
    cluster.exit_codes.insert(fence, 7);
    cluster.going_on.insert(fence);
    cluster.cut(0, 1);
    cluster.heal(0, 1);
    cluster.cut(0, 1);
    cluster.nodes[0].handlers.clear();
    let write = cluster.write_begins(0, 1, 1);
    cluster.handler_ends(0, fence);
    assert_eq!(cluster.nodes[0].handlers, [fence]);
    assert_eq!(cluster.nodes[0].replies.remove(&write), Some(Ok(None)));
}

#[test]
fn nobody_is_promoted_over_data_that_is_older_than_what_it_lost() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(1).unwrap();
    cluster.cut(0, 1);
    cluster.write(1, 1, 1).unwrap();
    cluster.demote(1).unwrap();
    cluster.order(1, Admin::Detach).unwrap();
    cluster.heal(0, 1);
    assert_eq!(cluster.promote(1), Err(PromotionError::OlderData(id(0)).into()));
    let refused = PromotionError::Refused { node: id(1), reason: "it knows newer data than is here" };
    assert_eq!(cluster.promote(0), Err(refused.into()));
    cluster.attach(1).unwrap();
    settle(&mut cluster);
    assert_eq!(cluster.stored(0, 1), 1);
    // What comes from it is as good.
    cluster.promote(0).unwrap();
    cluster.order(1, Admin::Detach).unwrap();
    cluster.write(0, 2, 2).unwrap();
    cluster.demote(0).unwrap();
    cluster.promote(1).unwrap();
    assert_eq!(cluster.read(1, 2), Ok(2));
}

#[test]
fn a_fence_that_waits_its_turn_is_off_once_the_peer_is_back() {
    let mut cluster = Cluster::started(false, |config| config.fencing = Fencing::ResourceAndStonith);
    let fence = Handler::FencePeer(id(1));
    cluster.promote(0).unwrap();
    cluster.exit_codes.insert(fence, 7);
    cluster.going_on.insert(fence);
    // The synchronisation that follows does not get further than this.
    cluster.going_on.insert(Handler::BeforeResyncTarget(id(0)));
    cluster.slow(0, 1);
    cluster.write_begins(0, 1, 1);
    for _ in 0..2 {
        cluster.cut(0, 1);
        cluster.let_pass();
        cluster.heal(0, 1);
    }
    assert_eq!(cluster.peer(0, 1).connection, ConnectionState::Connected);
    cluster.nodes[0].handlers.clear();
    cluster.handler_ends(0, fence);
    assert_eq!(cluster.nodes[0].handlers, [], "it is here: nobody cuts its power");
    cluster.cut(0, 1);
    assert_eq!(cluster.nodes[0].handlers, [fence]);
}

#[test]
fn a_promotion_does_not_wait_for_a_fence_that_is_off() {
    let mut cluster = Cluster::started(false, |config| config.fencing = Fencing::ResourceAndStonith);
    let unfence = Handler::UnfencePeer(id(1));
    cluster.going_on.insert(unfence);
    for _ in 0..2 {
        cluster.cut(0, 1);
        cluster.heal(0, 1);
    }
    cluster.cut(0, 1);
    let promotion = cluster.order_begins(0, Admin::Promote { force: false, wall_clock: 1 });
    cluster.heal(0, 1);
    assert_eq!(cluster.nodes[0].orders.remove(&promotion), Some(Ok(())));
}

#[test]
fn the_fence_is_taken_back_after_the_resync() {
    let (mut cluster, _) = fenced(Fencing::ResourceAndStonith, 4);
    assert!(!cluster.nodes[0].handlers[1..].contains(&Handler::UnfencePeer(id(1))));
    cluster.nodes[0].handlers.clear();
    cluster.start(1);
    settle(&mut cluster);
    assert!(cluster.is_in_sync());
    assert!(cluster.ran(0, Handler::UnfencePeer(id(1))));
}

#[test]
fn without_quorum_io_waits_or_fails_as_configured() {
    use replica::config::OnNoQuorum;
    for policy in [OnNoQuorum::SuspendIo, OnNoQuorum::IoError] {
        let mut cluster = Cluster::started(true, |config| {
            config.quorum = QuorumPolicy::Majority;
            config.on_no_quorum = policy;
        });
        cluster.promote(0).unwrap();
        cluster.cut(0, 2);
        cluster.cut(0, 1);
        let write = cluster.write_begins(0, 1, 1);
        let read = cluster.ask(0, ClientRequest::Read { offset: 0, len: 4096 });
        match policy {
            OnNoQuorum::SuspendIo => assert!(cluster.nodes[0].replies.is_empty()),
            OnNoQuorum::IoError => {
                assert_eq!(cluster.nodes[0].replies.remove(&write), Some(Err(ClientError::NoQuorum)));
                assert!(cluster.nodes[0].replies.remove(&read).is_some_and(|answer| answer.is_err()));
            }
        }
        assert_eq!(cluster.role(0), Role::Primary);
    }
}

/// A target that knows nothing of what it lacks could be promoted with fencing, if the source were lost.
#[test]
fn nothing_is_answered_before_the_target_has_recorded_that_it_lacks_something() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    cluster.cut(0, 1);
    cluster.write(0, 2, 2).unwrap();
    let handler = Handler::BeforeResyncTarget(id(0));
    cluster.going_on.insert(handler);
    cluster.heal(0, 1);
    assert!(cluster.ran(1, handler), "the target is asked");
    let write = cluster.write_begins(0, 3, 3);
    assert!(!cluster.has_answered(0, write), "the target may still count as good");
    cluster.handler_ends(1, handler);
    assert!(cluster.has_answered(0, write));
    cluster.pass(Duration::from_secs(20));
    assert!(cluster.is_in_sync());
    assert_eq!([2, 3].map(|block| cluster.stored(1, block)), [2, 3]);
}

/// It has what was good when the generation began, so it could be promoted where this node is not seen, and begin one too.
#[test]
fn no_generation_begins_over_a_target_that_has_not_recorded_that_it_lacks_something() {
    let mut cluster = Cluster::started(true, |config| config.quorum = QuorumPolicy::Majority);
    cluster.promote(0).unwrap();
    let before = cluster.replica(0).generations().unwrap().current;
    let handler = Handler::BeforeResyncTarget(id(0));
    cluster.going_on.insert(handler);
    // Not flushed: the peer may lack it.
    cluster.write(0, 1, 1).unwrap();
    cluster.mute(0, 2);
    cluster.cut(0, 1);
    let write = cluster.write_begins(0, 2, 2);
    assert!(!cluster.has_answered(0, write), "the tiebreaker has not taken note");
    cluster.heal(0, 1);
    cluster.cut(0, 2);
    assert!(cluster.ran(1, handler), "the target is asked");
    assert!(cluster.replica(0).generations().unwrap().current.same(before));
    assert!(!cluster.has_answered(0, write));
    cluster.handler_ends(1, handler);
    assert!(cluster.has_answered(0, write));
    cluster.pass(Duration::from_secs(20));
    assert!(cluster.is_in_sync());
}

/// The tiebreaker's refusal is about what was there when it was asked.
#[test]
fn a_refusal_of_data_that_was_replaced_since_outdates_nothing() {
    let mut cluster = Cluster::started(true, |config| {
        config.quorum = QuorumPolicy::Majority;
        config.sync.max_rate = 1 << 20;
    });
    cluster.promote(0).unwrap();
    cluster.cut(0, 1);
    for block in 0..200 {
        cluster.write(0, block, 4).unwrap();
    }
    cluster.flush(0).unwrap();
    cluster.demote(0).unwrap();
    cluster.heal(0, 1);
    cluster.pass(Duration::from_millis(300));
    assert_eq!(cluster.peer(1, 0).replication, ReplicationState::SyncTarget);
    cluster.mute(2, 1);
    cluster.order_begins(1, Admin::Promote { force: false, wall_clock: 1 });
    cluster.pass(Duration::from_secs(2));
    assert_eq!(cluster.disk(1), DiskState::UpToDate);
    cluster.let_pass();
    assert_eq!(cluster.role(1), Role::Secondary);
    assert_eq!(cluster.disk(1), DiskState::UpToDate);
    assert!(cluster.is_in_sync());
    cluster.promote(1).unwrap();
}

/// What it let others do before it came, a tiebreaker that restarted has forgotten.
#[test]
fn a_tiebreaker_that_came_after_the_peer_was_gone_does_not_keep_the_tie() {
    let mut cluster = Cluster::started(true, |config| config.quorum = QuorumPolicy::Majority);
    cluster.promote(0).unwrap();
    cluster.cut(0, 2);
    cluster.cut_noticed_by(1, 0);
    cluster.promote(1).unwrap();
    cluster.write(1, 5, 5).unwrap();
    cluster.cut(1, 2);
    cluster.crash(2);
    cluster.heal(0, 2);
    cluster.start(2);
    assert_eq!(cluster.connection(0, 2), ConnectionState::Connected);
    assert_eq!(cluster.connection(0, 1), ConnectionState::Connected, "node 0 has not noticed anything");
    cluster.notices(0, 1);
    assert!(cluster.said(0, &Event::Quorum(false)));
    let write = cluster.write_begins(0, 5, 6);
    assert!(!cluster.has_answered(0, write), "node 1 has answered another one");
}

#[test]
fn a_tiebreaker_that_came_while_the_peer_was_here_keeps_the_tie() {
    let mut cluster = Cluster::started(true, |config| config.quorum = QuorumPolicy::Majority);
    cluster.promote(0).unwrap();
    cluster.crash(2);
    cluster.start(2);
    cluster.cut(0, 1);
    cluster.write(0, 5, 5).unwrap();
    assert!(!cluster.said(0, &Event::Quorum(false)));
}

/// It was not asked by the tiebreaker either: the peer may have its disk again, and have been let go on.
#[test]
fn no_generation_begins_after_the_tiebreaker_is_lost_before_the_peer_is_seen_to_be_here() {
    let mut cluster = Cluster::started(true, |config| config.quorum = QuorumPolicy::Majority);
    cluster.promote(0).unwrap();
    let before = cluster.replica(0).generations().unwrap().current;
    cluster.mute(0, 2);
    cluster.order(1, Admin::Detach).unwrap();
    let write = cluster.write_begins(0, 2, 2);
    assert!(!cluster.has_answered(0, write), "the tiebreaker has not taken note");
    cluster.cut_noticed_by(1, 0);
    cluster.cut(0, 2);
    assert!(
        cluster.replica(0).generations().unwrap().current.same(before),
        "node 0 has not noticed anything"
    );
    cluster.notices(0, 1);
    assert!(cluster.said(0, &Event::Quorum(false)));
    assert!(cluster.replica(0).generations().unwrap().current.same(before));
    assert!(!cluster.has_answered(0, write));
}
