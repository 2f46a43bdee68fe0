//! Writes of two Primaries that meet, and what a flush covers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use bytes::Bytes;
use cluster::Cluster;
use cluster::both::{allowed, answered, both, both_with, held};
use replica::config::QuorumPolicy;
use replica::ids::BLOCK_BYTES;
use replica::io::ClientRequest;
use replica::wire::WriteBody;

/// Begins to write `len` bytes from `from` on.
fn begin(cluster: &mut Cluster, node: usize, (from, len): (u64, u64), value: u8) -> u64 {
    let body = match value {
        0 => WriteBody::Zeroes { len, may_trim: true },
        _ => WriteBody::Data(Bytes::from(vec![value; len as usize])),
    };
    cluster.ask(node, ClientRequest::Write { offset: from, body, fua: false })
}

#[test]
fn writes_that_cross_end_the_same_on_both() {
    // Whoever of the two is first: the order is that of node 0's disk.
    for first in 0..2 {
        let mut cluster = both();
        cluster.slow(0, 1);
        cluster.slow(1, 0);
        let earlier = cluster.write_begins(first, 5, 50 + first as u8);
        let later = cluster.write_begins(1 - first, 5, 51 - first as u8);
        assert_eq!((cluster.stored(0, 5), cluster.stored(1, 5)), (50, 51));
        cluster.let_pass();
        answered(&mut cluster, first, earlier);
        answered(&mut cluster, 1 - first, later);
        assert_eq!(held(&cluster, &[5 * BLOCK_BYTES]), [51], "node {first} was first");
    }
}

#[test]
fn a_write_that_the_arbiter_carried_out_first_comes_first() {
    let mut cluster = both();
    // The acknowledgement is on its way to node 1 when node 0 writes there too.
    cluster.slow(0, 1);
    let first = cluster.write_begins(1, 5, 51);
    assert_eq!((cluster.stored(0, 5), cluster.nodes[1].replies.get(&first)), (51, None));
    let second = cluster.write_begins(0, 5, 50);
    cluster.let_pass();
    answered(&mut cluster, 1, first);
    answered(&mut cluster, 0, second);
    assert_eq!(held(&cluster, &[5 * BLOCK_BYTES]), [50]);
}

#[test]
fn what_is_acknowledged_to_node_1_does_not_lag_behind_what_is_written_there() {
    let mut cluster = both();
    cluster.slow_acknowledgements(0, 1);
    let first = cluster.write_begins(1, 5, 51);
    let second = cluster.write_begins(0, 5, 50);
    answered(&mut cluster, 1, first);
    cluster.let_pass();
    answered(&mut cluster, 0, second);
    assert_eq!(held(&cluster, &[5 * BLOCK_BYTES]), [50]);
}

#[test]
fn the_arbiter_holds_a_write_back_until_its_own_is_acknowledged() {
    let mut cluster = both();
    cluster.slow_acknowledgements(1, 0);
    let own = cluster.write_begins(0, 5, 50);
    let others = cluster.write_begins(1, 5, 51);
    assert_eq!((cluster.stored(0, 5), cluster.stored(1, 5)), (50, 51));
    // And a third one of its own waits behind that.
    let third = cluster.write_begins(0, 5, 52);
    assert_eq!(cluster.stored(0, 5), 50);
    cluster.let_pass();
    for (node, write) in [(0, own), (1, others), (0, third)] {
        answered(&mut cluster, node, write);
    }
    assert_eq!(held(&cluster, &[5 * BLOCK_BYTES]), [52]);
}

#[test]
fn only_what_is_covered_is_covered() {
    let block = BLOCK_BYTES;
    let samples = [0, block - 512, block, block + 512, 2 * block, 3 * block - 512, 3 * block];
    // What node 0 writes, what node 1 writes (twice), and what is there at these places.
    let table = [
        ((0, 4 * block), vec![(block, 512)], [7, 7, 8, 7, 7, 7, 7]),
        ((0, 4 * block), vec![(block, block), (block + 512, 512)], [7, 7, 8, 9, 7, 7, 7]),
        ((block, block), vec![(0, 4 * block), (2 * block, 512)], [8, 8, 8, 8, 9, 8, 8]),
        ((block, 512), vec![(block + 512, 512)], [0, 0, 7, 8, 0, 0, 0]),
        ((0, 2 * block), vec![(block, 2 * block)], [7, 7, 8, 8, 8, 8, 0]),
        ((block, 3 * block), vec![(block - 512, 1024)], [0, 8, 8, 7, 7, 7, 7]),
    ];
    for (mine, theirs, expected) in table {
        let mut cluster = Cluster::started(false, allowed);
        cluster.promote(0).unwrap();
        cluster.promote(1).unwrap();
        cluster.slow(0, 1);
        cluster.slow(1, 0);
        let mut writes = vec![(0, begin(&mut cluster, 0, mine, 7))];
        for (value, place) in (8..).zip(&theirs) {
            writes.push((1, begin(&mut cluster, 1, *place, value)));
        }
        cluster.let_pass();
        for (node, write) in writes {
            answered(&mut cluster, node, write);
        }
        assert_eq!(held(&cluster, &samples), expected, "{mine:?} and {theirs:?}");
    }
}

#[test]
fn zeroes_cross_with_data_too() {
    for (mine, theirs, expected) in [(0, 8, [0, 8, 8, 3]), (7, 0, [7, 0, 0, 3])] {
        let mut cluster = both();
        cluster.flush(0).unwrap();
        for block in 4..8 {
            cluster.write(0, block, 3).unwrap();
        }
        cluster.slow(0, 1);
        cluster.slow(1, 0);
        let own = begin(&mut cluster, 0, (4 * BLOCK_BYTES, 2 * BLOCK_BYTES), mine);
        let others = begin(&mut cluster, 1, (5 * BLOCK_BYTES, 2 * BLOCK_BYTES), theirs);
        cluster.let_pass();
        answered(&mut cluster, 0, own);
        answered(&mut cluster, 1, others);
        let samples: Vec<u64> = (4..8).map(|block| block * BLOCK_BYTES).collect();
        assert_eq!(held(&cluster, &samples), expected);
    }
}

#[test]
fn a_flush_covers_what_the_other_was_told() {
    for flusher in 0..2 {
        let mut cluster = both();
        cluster.write(1 - flusher, 7, 7).unwrap();
        cluster.flush(flusher).unwrap();
        cluster.crash(0);
        cluster.crash(1);
        assert_eq!((cluster.stored(0, 7), cluster.stored(1, 7)), (7, 7));
    }
}

#[test]
fn a_flush_after_the_loss_of_the_other_covers_what_that_was_told() {
    let mut cluster = both_with(true, |config| config.quorum = QuorumPolicy::Majority);
    // The disk here is flushed for the first one, and the other node's is not.
    cluster.slow(1, 0);
    let first = cluster.ask(1, ClientRequest::Flush);
    cluster.write(0, 7, 7).unwrap();
    cluster.mute(2, 1);
    cluster.cut_noticed_by(1, 0);
    let second = cluster.ask(1, ClientRequest::Flush);
    assert!(!cluster.has_answered(1, first) && !cluster.has_answered(1, second));
    cluster.let_pass();
    for flush in [first, second] {
        answered(&mut cluster, 1, flush);
    }
    cluster.crash(1);
    assert_eq!(cluster.stored(1, 7), 7);
}
