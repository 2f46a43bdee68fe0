//! Quorum: whether the partition this node is in may go on. A pure function of who is there.

use crate::config::QuorumPolicy;

/// Who is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuorumView {
    /// Nodes with disks, as configured.
    pub diskful: usize,
    /// Those that are here with their disks, this node included.
    pub diskful_present: usize,
    /// Those that are here, with or without their disks. One that has lost its disk has lost what it knew: as long as it
    /// is here it cannot go on elsewhere, so it helps to keep quorum; it does not help to win it.
    pub diskful_here: usize,
    /// Those that are absent and known to be outdated or fenced: they cannot go on without us.
    pub diskful_outdated: usize,
    /// Diskless nodes, as configured.
    pub diskless: usize,
    /// Those that are here and can vouch that no absent node was let go on, this node included.
    pub diskless_present: usize,
    /// This node had quorum until now. A tie can be kept, not won: a tiebreaker that restarted has forgotten what it
    /// granted.
    pub had_quorum: bool,
}

/// Whether it has quorum.
#[must_use]
pub fn has_quorum(policy: QuorumPolicy, view: &QuorumView) -> bool {
    let voters = view.diskful.saturating_sub(view.diskful_outdated);
    let count = if view.had_quorum { view.diskful_here } else { view.diskful_present };
    match policy {
        QuorumPolicy::Off => true,
        QuorumPolicy::All => count >= voters,
        QuorumPolicy::AtLeast(nodes) => count >= usize::from(nodes),
        QuorumPolicy::Majority => {
            let tie_kept =
                count * 2 == voters && view.had_quorum && view.diskless_present * 2 > view.diskless;
            count * 2 > voters || tie_kept
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_of_two_disks_and_a_tiebreaker() {
        // present, outdated, tiebreaker there, had quorum -> majority
        let table = [
            (2, 0, 1, false, true),
            (2, 0, 0, false, true),
            (1, 0, 1, true, true),
            (1, 0, 1, false, false),
            (1, 0, 0, true, false),
            (1, 1, 0, false, true),
            (0, 0, 1, true, false),
        ];
        for (diskful_present, diskful_outdated, diskless_present, had_quorum, expected) in table {
            let view = QuorumView {
                diskful: 2,
                diskful_present,
                diskful_here: diskful_present,
                diskful_outdated,
                diskless: 1,
                diskless_present,
                had_quorum,
            };
            assert_eq!(has_quorum(QuorumPolicy::Majority, &view), expected, "{view:?}");
            assert!(has_quorum(QuorumPolicy::Off, &view));
            assert_eq!(has_quorum(QuorumPolicy::AtLeast(2), &view), diskful_present == 2);
        }
    }

    #[test]
    fn three_disks_need_two_of_them() {
        let view = |diskful_present| QuorumView {
            diskful: 3,
            diskful_present,
            diskful_here: diskful_present,
            diskful_outdated: 0,
            diskless: 0,
            diskless_present: 0,
            had_quorum: true,
        };
        assert!(!has_quorum(QuorumPolicy::Majority, &view(1)));
        assert!(has_quorum(QuorumPolicy::Majority, &view(2)));
        assert!(!has_quorum(QuorumPolicy::All, &view(2)));
    }

    #[test]
    fn a_tie_without_a_tiebreaker_is_lost() {
        let view = QuorumView {
            diskful: 2,
            diskful_present: 1,
            diskful_here: 1,
            diskful_outdated: 0,
            diskless: 0,
            diskless_present: 0,
            had_quorum: true,
        };
        assert!(!has_quorum(QuorumPolicy::Majority, &view));
    }

    #[test]
    fn a_node_that_lost_its_disk_keeps_quorum_and_does_not_win_it() {
        let view = |had_quorum| QuorumView {
            diskful: 2,
            diskful_present: 1,
            diskful_here: 2,
            diskful_outdated: 0,
            diskless: 1,
            diskless_present: 1,
            had_quorum,
        };
        for policy in [QuorumPolicy::Majority, QuorumPolicy::All, QuorumPolicy::AtLeast(2)] {
            assert!(has_quorum(policy, &view(true)), "{policy:?}");
            assert!(!has_quorum(policy, &view(false)), "{policy:?}");
        }
    }
}
