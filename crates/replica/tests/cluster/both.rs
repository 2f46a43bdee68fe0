//! Two that are Primary at once.

use std::time::Duration;

use replica::config::Config;
use replica::ids::BLOCK_BYTES;

use super::Cluster;

pub fn allowed(config: &mut Config) {
    config.two_primaries = true;
}

pub fn settle(cluster: &mut Cluster) {
    cluster.pass(Duration::from_secs(20));
}

/// Both are Primary, and each has written a block that both have.
pub fn both_with(tiebreaker: bool, change: impl Fn(&mut Config)) -> Cluster {
    let mut cluster = Cluster::started(tiebreaker, |config| {
        allowed(config);
        change(config);
    });
    cluster.promote(0).unwrap();
    cluster.promote(1).unwrap();
    cluster.write(0, 1, 1).unwrap();
    cluster.write(1, 2, 2).unwrap();
    cluster.flush(0).unwrap();
    cluster.flush(1).unwrap();
    cluster
}

pub fn both() -> Cluster {
    both_with(false, |_| {})
}

pub fn answered(cluster: &mut Cluster, node: usize, request: u64) {
    assert_eq!(cluster.nodes[node].replies.remove(&request), Some(Ok(None)), "at node {node}");
}

/// What both disks hold at each of these bytes; they hold the same.
pub fn held(cluster: &Cluster, bytes: &[u64]) -> Vec<u8> {
    assert!(cluster.is_in_sync());
    let blocks = &cluster.nodes[0].disk.blocks;
    let held = |at: &u64| {
        blocks.get(&(at / BLOCK_BYTES)).map_or(0, |block| block[usize::try_from(at % BLOCK_BYTES).unwrap()])
    };
    bytes.iter().map(held).collect()
}
