//! Two Primaries: who may join, writes of both that cross, and what happens when one is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use std::time::Duration;

use cluster::both::{allowed, answered, both, both_with, held, settle};
use cluster::{Cluster, id};
use replica::config::{Config, Fencing, OnIoError, QuorumPolicy};
use replica::ids::BLOCK_BYTES;
use replica::io::{ClientRequest, DiskOp};
use replica::promotion::PromotionError;
use replica::split_brain::{After0Pri, After2Pri};
use replica::state::{ConnectionState, DiskState, ReplicationState, Role};
use replica::wire::{Hello, Message};
use replica::{
    Admin, AdminError, ClientError, Event, Handler, Input, Output, Replica, RequestId, Suspension, Time,
};

fn is_second(cluster: &Cluster) {
    assert_eq!((cluster.role(0), cluster.role(1)), (Role::Primary, Role::Primary));
    assert_eq!((cluster.peer(0, 1).role, cluster.peer(1, 0).role), (Role::Primary, Role::Primary));
    assert!(cluster.is_in_sync());
}

#[test]
fn the_second_joins_the_generation_of_the_first() {
    let cluster = both();
    is_second(&cluster);
    let current = |node: usize| cluster.replica(node).generations().unwrap().current;
    assert!(current(0).same(current(1)));
    for node in 0..2 {
        assert!(!cluster.nodes[node].events.iter().any(|event| matches!(event, Event::Generation(_))));
        assert!(cluster.nodes[node].disk.superblock.primary, "both are recorded");
    }
    assert_eq!((cluster.stored(0, 2), cluster.stored(1, 1)), (2, 1));
}

#[test]
fn without_the_option_there_is_one() {
    let mut cluster = Cluster::started(false, |_| {});
    cluster.promote(0).unwrap();
    assert_eq!(cluster.promote(1), Err(PromotionError::PeerIsPrimary(id(0)).into()));
    assert_eq!(
        cluster.order(1, Admin::Promote { force: true, wall_clock: 9 }),
        Err(PromotionError::PeerIsPrimary(id(0)).into())
    );
}

#[test]
fn both_sides_must_have_the_option() {
    for (mine, theirs) in [(true, false), (false, true), (true, true), (false, false)] {
        let mut config = Config::new(id(0), cluster::SIZE).with_peer(id(1), false);
        config.two_primaries = mine;
        let hello = Hello {
            node: id(1),
            to: id(0),
            size: cluster::SIZE,
            protocol: config.protocol,
            diskless: false,
            two_primaries: theirs,
        };
        let mut replica = Replica::new(config, 1).unwrap();
        let command = Admin::Connect { peer: id(1), discard_my_data: false };
        replica.handle(Time(1), Input::Admin { id: RequestId(1), command });
        replica.handle(Time(2), Input::PeerUp(id(1)));
        replica.handle(Time(3), Input::Message { from: id(1), message: Message::Hello { hello } });
        let differs = |output: &Output| matches!(output, Output::Event(Event::ProtocolError(_, what)) if what.contains("allow-two-primaries"));
        let said = std::iter::from_fn(|| replica.poll_output()).any(|output| differs(&output));
        assert_eq!(said, mine != theirs, "{mine} here, {theirs} there");
    }
}

#[test]
fn nobody_joins_while_a_synchronisation_goes_on() {
    let mut cluster = Cluster::started(false, |config| {
        allowed(config);
        config.sync.max_rate = 1 << 20;
    });
    cluster.promote(0).unwrap();
    cluster.cut(0, 1);
    for block in 0..200 {
        cluster.write(0, block, 4).unwrap();
    }
    cluster.heal(0, 1);
    cluster.pass(Duration::from_millis(300));
    assert_eq!(cluster.peer(1, 0).replication, ReplicationState::SyncTarget);
    for force in [false, true] {
        let answer = cluster.order(1, Admin::Promote { force, wall_clock: 9 });
        assert_eq!(answer, Err(PromotionError::PeerIsPrimary(id(0)).into()));
    }
    settle(&mut cluster);
    cluster.promote(1).unwrap();
    is_second(&cluster);
}

#[test]
fn nobody_joins_without_a_disk_of_its_own_or_of_the_first() {
    for diskless in 0..2 {
        let mut cluster = Cluster::started(false, allowed);
        cluster.promote(0).unwrap();
        cluster.order(diskless, Admin::Detach).unwrap();
        assert_eq!(cluster.promote(1), Err(PromotionError::PeerIsPrimary(id(0)).into()), "node {diskless}");
    }
}

#[test]
fn a_promotion_that_loses_the_first_on_the_way_fails() {
    for messages in 0..4 {
        let mut cluster = Cluster::started(false, |config| {
            allowed(config);
            config.fencing = Fencing::ResourceAndStonith;
        });
        cluster.promote(0).unwrap();
        cluster.order_begins_and_cut(1, Admin::Promote { force: false, wall_clock: 9 }, messages);
        let write = cluster.write_begins(1, 1, 1);
        // Either it is none, or it became one and its I/O waits for the first to be fenced.
        match cluster.role(1) {
            Role::Primary => assert_eq!(cluster.nodes[1].replies.get(&write), None, "{messages} messages"),
            _ => assert_eq!(cluster.nodes[1].replies[&write], Err(ClientError::NotPrimary)),
        }
    }
}

#[test]
fn a_promotion_that_loses_the_first_and_with_it_quorum_fails() {
    let mut refused = 0;
    for messages in 0..6 {
        let mut cluster = Cluster::started(true, |config| {
            allowed(config);
            config.quorum = QuorumPolicy::Majority;
        });
        cluster.promote(0).unwrap();
        cluster.cut(1, 2);
        cluster.order_begins_and_cut(1, Admin::Promote { force: false, wall_clock: 9 }, messages);
        let answer = cluster.nodes[1].orders.pop_last().map(|(_, answer)| answer);
        refused += u32::from(answer == Some(Err(PromotionError::NoQuorum.into())));
        let primary = cluster.role(1) == Role::Primary;
        assert_eq!(answer, primary.then_some(Ok(())).or(answer.clone()), "{messages} messages");
        assert_eq!(cluster.nodes[1].disk.superblock.primary, primary, "{messages} messages");
    }
    assert!(refused > 0, "it was cut after the decision, and before it was recorded");
}

/// Node 1 has asked whether it may join, node 0 has promised it, and the answer is on its way.
fn promised() -> Cluster {
    let mut cluster = Cluster::started(false, |config| {
        allowed(config);
        config.on_io_error = OnIoError::PassOn;
    });
    cluster.promote(0).unwrap();
    cluster.write(0, 1, 1).unwrap();
    cluster.mute(0, 1);
    cluster.order_begins(1, Admin::Promote { force: false, wall_clock: 9 });
    cluster
}

#[test]
fn nobody_leaves_while_one_joins() {
    let mut cluster = promised();
    for (node, peer) in [(0, 1), (1, 0)] {
        let leaves = Admin::Disconnect { peer: id(peer) };
        assert_eq!(cluster.order(node, leaves), Err(AdminError::Busy), "node {node}");
    }
    cluster.let_pass();
    is_second(&cluster);
}

#[test]
fn a_block_that_cannot_be_read_costs_the_disk_while_one_joins() {
    let mut cluster = promised();
    cluster.nodes[0].disk.bad_blocks.insert(1);
    cluster.ask(0, ClientRequest::Read { offset: BLOCK_BYTES, len: 4096 });
    assert_eq!(cluster.disk(0), DiskState::Diskless);
    cluster.let_pass();
    assert_eq!((cluster.role(0), cluster.role(1)), (Role::Primary, Role::Primary));
    cluster.write(0, 3, 3).unwrap();
    cluster.write(1, 3, 4).unwrap();
    assert_eq!(cluster.read(0, 3), Ok(4));
}

#[test]
fn one_is_demoted_and_the_other_goes_on() {
    for leaver in 0..2 {
        let mut cluster = both();
        let stays = 1 - leaver;
        cluster.slow(stays, leaver);
        let under_way = cluster.write_begins(stays, 9, 9);
        cluster.let_pass();
        cluster.demote(leaver).unwrap();
        answered(&mut cluster, stays, under_way);
        assert_eq!(cluster.write(leaver, 9, 1), Err(ClientError::NotPrimary));
        cluster.write(stays, 10, 10).unwrap();
        cluster.flush(stays).unwrap();
        assert!(cluster.is_in_sync());
        assert!(!cluster.nodes[leaver].disk.superblock.primary);
        cluster.promote(leaver).unwrap();
        is_second(&cluster);
    }
}

/// Both are Primary and cut off; what each did with the write that it was asked for then.
fn parted(fencing: Fencing, exit_codes: [Option<i32>; 2]) -> (Cluster, [u64; 2]) {
    let mut cluster = both_with(false, |config| config.fencing = fencing);
    for (node, exit_code) in exit_codes.into_iter().enumerate() {
        if let Some(code) = exit_code {
            cluster.exit_codes.insert(Handler::FencePeer(id(1 - node)), code);
        }
    }
    cluster.cut(0, 1);
    let writes = [0, 1].map(|node| cluster.write_begins(node, 20 + node as u64, 5));
    (cluster, writes)
}

#[test]
fn without_fencing_both_go_on_and_that_is_a_split_brain() {
    let (mut cluster, writes) = parted(Fencing::DontCare, [None, None]);
    for (node, write) in writes.into_iter().enumerate() {
        answered(&mut cluster, node, write);
    }
    cluster.heal(0, 1);
    for (node, peer) in [(0, 1), (1, 0)] {
        assert!(cluster.said(node, &Event::SplitBrain(id(peer))));
        assert!(cluster.ran(node, Handler::SplitBrain(id(peer))));
        assert_eq!(cluster.connection(node, peer), ConnectionState::StandAlone);
    }
    assert_eq!((cluster.stored(0, 20), cluster.stored(0, 21)), (5, 0), "nothing is thrown away");
    assert_eq!((cluster.stored(1, 20), cluster.stored(1, 21)), (0, 5));
}

#[test]
fn after_that_split_brain_the_policies_for_two_primaries_count() {
    let mut cluster = both_with(false, |config| {
        config.after_split_brain.after_0pri = After0Pri::DiscardNode(id(1));
        config.after_split_brain.after_2pri = After2Pri::CallPriLostAfterSb;
    });
    cluster.cut(0, 1);
    cluster.write(0, 20, 5).unwrap();
    cluster.write(1, 21, 5).unwrap();
    cluster.heal(0, 1);
    assert!(
        cluster.ran(1, Handler::PriLostAfterSb(id(0))) && !cluster.ran(0, Handler::PriLostAfterSb(id(1)))
    );
    assert_eq!(cluster.stored(1, 21), 5);
}

#[test]
fn with_stonith_io_waits_and_the_survivor_goes_on() {
    let (cluster, writes) = parted(Fencing::ResourceAndStonith, [None, None]);
    for (node, write) in writes.iter().enumerate() {
        assert_eq!(cluster.nodes[node].replies.get(write), None);
        assert_eq!(cluster.replica(node).suspensions(), [Suspension::Fencing(id(1 - node))]);
        assert!(cluster.ran(node, Handler::FencePeer(id(1 - node))));
    }
    let (mut cluster, writes) = parted(Fencing::ResourceAndStonith, [Some(7), None]);
    cluster.crash(1);
    answered(&mut cluster, 0, writes[0]);
    cluster.flush(0).unwrap();
    cluster.heal(0, 1);
    cluster.start(1);
    settle(&mut cluster);
    assert_eq!(cluster.role(1), Role::Secondary);
    assert!(cluster.is_in_sync());
    assert_eq!((cluster.stored(1, 20), cluster.stored(1, 21)), (5, 0), "what was never answered is gone");
    cluster.promote(1).unwrap();
    is_second(&cluster);
}

#[test]
fn with_resource_only_the_handler_runs_and_nothing_waits() {
    let (mut cluster, writes) = parted(Fencing::ResourceOnly, [None, None]);
    for (node, write) in writes.into_iter().enumerate() {
        answered(&mut cluster, node, write);
        assert!(cluster.ran(node, Handler::FencePeer(id(1 - node))));
    }
}

#[test]
fn a_break_in_which_nothing_happened_does_not_part_them() {
    for fencing in [Fencing::DontCare, Fencing::ResourceAndStonith] {
        let mut cluster = both_with(false, |config| config.fencing = fencing);
        cluster.cut(0, 1);
        cluster.heal(0, 1);
        is_second(&cluster);
        cluster.write(0, 30, 3).unwrap();
        cluster.write(1, 30, 4).unwrap();
        assert_eq!(held(&cluster, &[30 * BLOCK_BYTES]), [4]);
        assert!(!cluster.replica(0).io_is_suspended() && !cluster.replica(1).io_is_suspended());
    }
}

#[test]
fn primaries_with_marks_are_not_joined_and_one_is_brought_back_once_demoted() {
    let mut cluster = both_with(false, |config| config.fencing = Fencing::ResourceAndStonith);
    cluster.slow(1, 0);
    let write = cluster.write_begins(1, 30, 3);
    cluster.cut(0, 1);
    cluster.let_pass();
    cluster.heal(0, 1);
    assert_eq!(cluster.nodes[1].replies.get(&write), None);
    for (node, peer) in [(0, 1), (1, 0)] {
        assert!(cluster.said(node, &Event::CannotJoin(id(peer))));
        assert_eq!(cluster.connection(node, peer), ConnectionState::Connecting, "they try again");
    }
    assert_eq!((cluster.stored(0, 30), cluster.stored(1, 30)), (0, 3));
    settle(&mut cluster);
    assert!(!cluster.is_in_sync() && cluster.replica(0).io_is_suspended());
    cluster.order(1, Admin::Demote { force: true }).unwrap();
    settle(&mut cluster);
    assert_eq!(held(&cluster, &[30 * BLOCK_BYTES]), [0]);
}

#[test]
fn both_crash_and_what_each_had_flushed_is_there() {
    let mut cluster = both();
    cluster.write(0, 100, 10).unwrap();
    cluster.write(1, 5000, 20).unwrap();
    cluster.flush(0).unwrap();
    // Written after that and not flushed: one disk keeps it, the other does not.
    cluster.write(0, 101, 1).unwrap();
    cluster.write(1, 5001, 2).unwrap();
    cluster.lose_power(&[0, 1]);
    cluster.nodes[1].disk.blocks.insert(101, [1; 4096]);
    cluster.nodes[0].disk.blocks.insert(5001, [2; 4096]);
    cluster.sent.clear();
    cluster.start(0);
    cluster.start(1);
    settle(&mut cluster);
    assert!(cluster.said(0, &Event::Replication(id(1), ReplicationState::SyncSource)));
    let blocks = [100, 101, 5000, 5001].map(|block| block * BLOCK_BYTES);
    assert_eq!(held(&cluster, &blocks), [10, 0, 20, 2], "node 0 is the source, for the extents of both");
    assert!(!cluster.said(0, &Event::SplitBrain(id(1))));
}

#[test]
fn what_the_lost_one_had_sent_is_stable_before_it_is_given_back() {
    let mut cluster = both_with(true, |config| config.quorum = QuorumPolicy::Majority);
    cluster.write(1, 5000, 5).unwrap();
    cluster.cut_noticed_by(0, 1);
    cluster.write(0, 1, 3).unwrap();
    cluster.notices(1, 0);
    cluster.order(1, Admin::Demote { force: true }).unwrap();
    cluster.heal(0, 1);
    settle(&mut cluster);
    assert!(cluster.said(0, &Event::Replication(id(1), ReplicationState::SyncSource)));
    cluster.crash(0);
    assert_eq!((cluster.stored(0, 5000), cluster.stored(1, 5000)), (5, 5));
}

#[test]
fn the_survivor_of_a_crash_goes_on_with_the_writes_of_both() {
    for victim in 0..2 {
        let mut cluster = both();
        cluster.write(victim, 40, 4).unwrap();
        cluster.crash(victim);
        let survivor = 1 - victim;
        assert_eq!(cluster.read(survivor, 40), Ok(4));
        cluster.write(survivor, 41, 5).unwrap();
        cluster.start(victim);
        settle(&mut cluster);
        assert_eq!(held(&cluster, &[40 * BLOCK_BYTES, 41 * BLOCK_BYTES]), [4, 5]);
        cluster.promote(victim).unwrap();
        is_second(&cluster);
    }
}

#[test]
fn a_tie_is_broken_for_one_of_them() {
    for winner in 0..2 {
        let mut cluster = both_with(true, |config| config.quorum = QuorumPolicy::Majority);
        cluster.cut(0, 1);
        let loser = 1 - winner;
        let went = cluster.write_begins(winner, 50, 5);
        let waits = cluster.write_begins(loser, 51, 6);
        answered(&mut cluster, winner, went);
        assert_eq!(cluster.nodes[loser].replies.get(&waits), None);
        assert_eq!(cluster.replica(loser).suspensions(), [Suspension::Quorum]);
        assert!(cluster.replica(winner).has_quorum());
        cluster.order(loser, Admin::Demote { force: true }).unwrap();
        assert!(matches!(cluster.promote(loser), Err(AdminError::Promotion(_))));
        cluster.heal(0, 1);
        settle(&mut cluster);
        assert_eq!(held(&cluster, &[50 * BLOCK_BYTES, 51 * BLOCK_BYTES]), [5, 0]);
        cluster.promote(loser).unwrap();
        is_second(&cluster);
    }
}

#[test]
fn the_tiebreaker_lets_nobody_join_whom_the_first_does_not_know() {
    let mut cluster = Cluster::started(true, |config| {
        allowed(config);
        config.quorum = QuorumPolicy::Majority;
    });
    cluster.promote(0).unwrap();
    cluster.cut(0, 1);
    let refused = PromotionError::Refused { node: id(2), reason: "it is Primary, or connected to one" };
    assert_eq!(cluster.promote(1), Err(refused.into()));
}

#[test]
fn one_that_loses_its_disk_works_over_the_others_until_one_is_demoted() {
    for loser in 0..2 {
        let mut cluster = both();
        let other = 1 - loser;
        cluster.nodes[loser].disk.bad_data = true;
        cluster.write(loser, 60, 6).unwrap();
        cluster.write(other, 61, 7).unwrap();
        cluster.write(other, 60, 8).unwrap();
        assert_eq!(cluster.disk(loser), DiskState::Diskless);
        assert_eq!((cluster.read(loser, 60), cluster.read(loser, 61)), (Ok(8), Ok(7)));
        cluster.flush(loser).unwrap();
        cluster.flush(other).unwrap();
        cluster.nodes[loser].disk.bad_data = false;
        assert!(matches!(cluster.attach(loser), Err(AdminError::State(why)) if why.contains("demote")));
        cluster.demote(other).unwrap();
        cluster.attach(loser).unwrap();
        settle(&mut cluster);
        assert_eq!(held(&cluster, &[60 * BLOCK_BYTES, 61 * BLOCK_BYTES]), [8, 7]);
        cluster.promote(other).unwrap();
        is_second(&cluster);
    }
}

#[test]
fn what_is_marked_while_the_first_is_demoted_is_not_forgotten() {
    let mut cluster = both();
    cluster.order(1, Admin::Detach).unwrap();
    cluster.write(1, 5000, 1).unwrap();
    cluster.stall(0, |op| matches!(op, DiskOp::BitmapPage { .. }));
    let demotion = cluster.order_begins(0, Admin::Demote { force: false });
    cluster.write(1, 5001, 2).unwrap();
    cluster.demote(1).unwrap();
    cluster.unstall(0);
    assert_eq!(cluster.nodes[0].orders.remove(&demotion), Some(Ok(())));
    cluster.lose_power(&[0, 1]);
    cluster.start(0);
    cluster.start(1);
    settle(&mut cluster);
    assert_eq!(held(&cluster, &[5000 * BLOCK_BYTES, 5001 * BLOCK_BYTES]), [1, 2]);
}

#[test]
fn one_that_works_over_the_others_disk_does_not_keep_the_tiebreaker_out() {
    let mut cluster = both_with(true, |config| config.quorum = QuorumPolicy::Majority);
    cluster.order(0, Admin::Detach).unwrap();
    cluster.stall(1, |op| matches!(op, DiskOp::Write { .. }));
    let under_way = cluster.write_begins(0, 60, 6);
    cluster.cut(1, 2);
    cluster.heal(1, 2);
    let own = cluster.write_begins(1, 61, 7);
    assert_eq!(cluster.peer(1, 2).replication, ReplicationState::Established);
    cluster.unstall(1);
    answered(&mut cluster, 0, under_way);
    answered(&mut cluster, 1, own);
}

#[test]
fn a_client_that_waits_does_not_hold_up_one_that_works_over_this_disk() {
    let mut cluster = both();
    cluster.order(0, Admin::Detach).unwrap();
    cluster.order(1, Admin::SuspendIo).unwrap();
    let waits = cluster.write_begins(1, 70, 1);
    cluster.write(0, 71, 2).unwrap();
    assert_eq!(cluster.nodes[1].replies.get(&waits), None);
    cluster.order(1, Admin::ResumeIo).unwrap();
    answered(&mut cluster, 1, waits);
    assert_eq!((cluster.stored(1, 70), cluster.stored(1, 71)), (1, 2));
}

#[test]
fn a_block_that_cannot_be_read_costs_the_disk_while_both_write() {
    let mut cluster = both_with(false, |config| config.on_io_error = OnIoError::PassOn);
    cluster.nodes[1].disk.bad_blocks.insert(1);
    assert_eq!(cluster.read(1, 1), Ok(1));
    assert_eq!((cluster.disk(1), cluster.role(1)), (DiskState::Diskless, Role::Primary));
}

#[test]
fn what_would_part_them_or_throw_data_away_is_refused() {
    let mut cluster = both();
    for (node, peer) in [(0, 1), (1, 0)] {
        let peer = id(peer);
        for command in [
            Admin::Disconnect { peer },
            Admin::Invalidate { peer },
            Admin::InvalidateRemote { peer },
            Admin::Outdate,
            Admin::Verify { peer },
            Admin::Resize { size: None, assume_clean: false },
            Admin::Connect { peer, discard_my_data: true },
        ] {
            let answer = cluster.order(node, command.clone());
            assert!(matches!(answer, Err(AdminError::State(_))), "{command:?}: {answer:?}");
        }
    }
    is_second(&cluster);
}
