//! Split brain with no, one and two Primaries, and every policy: found, told, and resolved only by policy or order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use cluster::{Cluster, id};
use replica::config::Config;
use replica::split_brain::{After0Pri, After1Pri, After2Pri, Policies};
use replica::state::{ConnectionState, Role};
use replica::{Admin, Event, Handler};

fn zero(policy: After0Pri) -> impl Fn(&mut Config) {
    move |config| config.after_split_brain.after_0pri = policy
}

/// Node 0 wrote two blocks, node 1 five; node 0 became Primary first. They meet as Secondaries.
fn met(policy: After0Pri) -> Cluster {
    let mut cluster = Cluster::parted(zero(policy), 2, 5);
    cluster.heal(0, 1);
    cluster
}

fn whose(cluster: &mut Cluster) -> usize {
    cluster.pass(std::time::Duration::from_secs(5));
    assert!(cluster.is_in_sync());
    let (zero, one) = (cluster.stored(0, 100), cluster.stored(0, 200));
    match (zero, one) {
        (10, 0) => 0,
        (0, 11) => 1,
        other => panic!("a mixture of both: {other:?}"),
    }
}

fn nobody_lost_anything(cluster: &Cluster) {
    for (node, peer) in [(0, 1), (1, 0)] {
        assert!(cluster.said(node, &Event::SplitBrain(id(peer))), "node {node} tells of it");
        assert!(cluster.ran(node, Handler::SplitBrain(id(peer))));
        assert_eq!(cluster.connection(node, peer), ConnectionState::StandAlone);
    }
    assert_eq!((cluster.stored(0, 100), cluster.stored(0, 200)), (10, 0));
    assert_eq!((cluster.stored(1, 100), cluster.stored(1, 200)), (0, 11));
}

#[test]
fn by_default_nothing_is_thrown_away() {
    nobody_lost_anything(&met(After0Pri::Disconnect));
}

#[test]
fn discard_my_data_on_order() {
    let mut cluster = met(After0Pri::Disconnect);
    cluster.order(0, Admin::Connect { peer: id(1), discard_my_data: true }).unwrap();
    cluster.order(1, Admin::Connect { peer: id(0), discard_my_data: false }).unwrap();
    assert_eq!(whose(&mut cluster), 1);
    assert!(cluster.ran(0, Handler::BeforeResyncTarget(id(1))), "asked before anything is thrown away");
}

#[test]
fn an_order_to_discard_is_for_what_was_found_when_they_met() {
    let mut cluster = Cluster::parted(|_| {}, 2, 5);
    cluster.order(1, Admin::Detach).unwrap();
    cluster.order(0, Admin::Connect { peer: id(1), discard_my_data: true }).unwrap();
    cluster.heal(0, 1);
    cluster.promote(0).unwrap();
    cluster.write(0, 300, 30).unwrap();
    cluster.demote(0).unwrap();
    cluster.attach(1).unwrap();
    nobody_lost_anything(&cluster);
    assert_eq!(cluster.stored(0, 300), 30);
}

#[test]
fn only_what_either_wrote_is_copied() {
    let mut cluster = met(After0Pri::Disconnect);
    cluster.sent.clear();
    cluster.order(0, Admin::Connect { peer: id(1), discard_my_data: true }).unwrap();
    cluster.order(1, Admin::Connect { peer: id(0), discard_my_data: false }).unwrap();
    assert_eq!(whose(&mut cluster), 1);
    // Seven blocks differ; five hold data, two are zeroes again.
    let bytes = cluster.sent["SyncData"];
    assert!((5 * 4096..8 * 4096).contains(&bytes), "{bytes} bytes");
}

#[test]
fn the_order_to_discard_is_refused_to_a_primary() {
    let mut cluster = met(After0Pri::Disconnect);
    cluster.promote(0).unwrap();
    assert!(cluster.order(0, Admin::Connect { peer: id(1), discard_my_data: true }).is_err());
}

#[test]
fn when_both_are_told_to_discard_nobody_does() {
    let mut cluster = met(After0Pri::Disconnect);
    for (node, peer) in [(0, 1), (1, 0)] {
        cluster.order(node, Admin::Connect { peer: id(peer), discard_my_data: true }).unwrap();
    }
    nobody_lost_anything(&cluster);
}

#[test]
fn a_handler_that_objects_keeps_the_data() {
    let mut cluster = met(After0Pri::Disconnect);
    cluster.exit_codes.insert(Handler::BeforeResyncTarget(id(1)), 1);
    cluster.order(0, Admin::Connect { peer: id(1), discard_my_data: true }).unwrap();
    cluster.order(1, Admin::Connect { peer: id(0), discard_my_data: false }).unwrap();
    assert_eq!((cluster.stored(0, 100), cluster.stored(1, 200)), (10, 11));
    assert_eq!(cluster.connection(0, 1), ConnectionState::StandAlone);
}

#[test]
fn zero_primaries_discard_younger_primary() {
    assert_eq!(whose(&mut met(After0Pri::DiscardYoungerPrimary)), 0);
}

#[test]
fn zero_primaries_discard_older_primary() {
    assert_eq!(whose(&mut met(After0Pri::DiscardOlderPrimary)), 1);
}

#[test]
fn zero_primaries_discard_least_changes() {
    assert_eq!(whose(&mut met(After0Pri::DiscardLeastChanges)), 1);
}

#[test]
fn zero_primaries_discard_zero_changes() {
    let mut cluster = Cluster::parted(zero(After0Pri::DiscardZeroChanges), 0, 3);
    cluster.heal(0, 1);
    assert_eq!(whose(&mut cluster), 1);
    nobody_lost_anything(&met(After0Pri::DiscardZeroChanges));
}

#[test]
fn zero_primaries_discard_node() {
    for loser in [0, 1] {
        assert_eq!(whose(&mut met(After0Pri::DiscardNode(id(loser)))), 1 - loser);
    }
}

/// Node 0 is Primary when they meet. It became so last, and by `discard-least-changes` it would lose.
fn met_with_primary(after_1pri: After1Pri, after_0pri: After0Pri) -> Cluster {
    let policies = Policies { after_0pri, after_1pri, ..Policies::default() };
    let mut cluster = Cluster::parted(|config| config.after_split_brain = policies, 2, 5);
    cluster.promote(0).unwrap();
    cluster.heal(0, 1);
    cluster
}

#[test]
fn one_primary_disconnect() {
    nobody_lost_anything(&met_with_primary(After1Pri::Disconnect, After0Pri::DiscardLeastChanges));
}

#[test]
fn one_primary_discard_secondary() {
    let mut cluster = met_with_primary(After1Pri::DiscardSecondary, After0Pri::Disconnect);
    assert_eq!(whose(&mut cluster), 0);
    assert_eq!(cluster.role(0), Role::Primary);
}

#[test]
fn one_primary_consensus() {
    nobody_lost_anything(&met_with_primary(After1Pri::Consensus, After0Pri::DiscardLeastChanges));
    let mut cluster = met_with_primary(After1Pri::Consensus, After0Pri::DiscardOlderPrimary);
    assert_eq!(whose(&mut cluster), 0);
}

#[test]
fn one_primary_call_pri_lost_after_sb() {
    let mut cluster = met_with_primary(After1Pri::CallPriLostAfterSb, After0Pri::DiscardLeastChanges);
    assert!(cluster.ran(0, Handler::PriLostAfterSb(id(1))), "the loser is told to give up");
    assert!(!cluster.ran(1, Handler::PriLostAfterSb(id(0))));
    assert_eq!(cluster.stored(0, 100), 10, "and nothing is gone before it has");
    // The handler gave it up; the next meeting has no Primary.
    cluster.demote(0).unwrap();
    cluster.connect(0, 1);
    assert_eq!(whose(&mut cluster), 1);
}

#[test]
fn one_primary_violently_as_0p_never_takes_the_data_from_under_its_users() {
    let mut cluster = met_with_primary(After1Pri::ViolentlyAs0p, After0Pri::DiscardLeastChanges);
    assert_eq!(cluster.read(0, 100), Ok(10));
    assert_eq!(cluster.stored(1, 200), 11);
    let mut cluster = met_with_primary(After1Pri::ViolentlyAs0p, After0Pri::DiscardOlderPrimary);
    assert_eq!(whose(&mut cluster), 0);
}

fn met_with_two(after_2pri: After2Pri) -> Cluster {
    let policies = Policies { after_0pri: After0Pri::DiscardLeastChanges, after_2pri, ..Policies::default() };
    let mut cluster = Cluster::parted(|config| config.after_split_brain = policies, 2, 5);
    cluster.promote(0).unwrap();
    cluster.promote(1).unwrap();
    cluster.heal(0, 1);
    cluster
}

#[test]
fn two_primaries_disconnect() {
    nobody_lost_anything(&met_with_two(After2Pri::Disconnect));
}

#[test]
fn two_primaries_call_pri_lost_after_sb() {
    let mut cluster = met_with_two(After2Pri::CallPriLostAfterSb);
    assert!(cluster.ran(0, Handler::PriLostAfterSb(id(1))));
    assert!(!cluster.ran(1, Handler::PriLostAfterSb(id(0))));
    cluster.demote(0).unwrap();
    cluster.demote(1).unwrap();
    cluster.connect(0, 1);
    assert_eq!(whose(&mut cluster), 1);
}

#[test]
fn two_primaries_violently_as_0p_never_takes_the_data_from_under_its_users() {
    let mut cluster = met_with_two(After2Pri::ViolentlyAs0p);
    assert_eq!((cluster.read(0, 100), cluster.read(1, 200)), (Ok(10), Ok(11)));
}
