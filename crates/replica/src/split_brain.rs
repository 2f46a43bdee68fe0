//! What to do after a split brain: DRBD's after-sb policies, as a pure and antisymmetric function.
//!
//! In: both reports and the policies (which both sides must share). Out: whose data is thrown away, or nobody's. It
//! never runs a handler and never throws anything away itself.

use crate::handshake::Report;
use crate::ids::NodeId;
use crate::state::Role;

/// After split brain without a Primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum After0Pri {
    /// Nothing is thrown away; the connection is given up.
    #[default]
    Disconnect,
    /// The data of the one that became Primary last.
    DiscardYoungerPrimary,
    /// The data of the one that became Primary first.
    DiscardOlderPrimary,
    /// The data of the one that wrote nothing, when there is exactly one.
    DiscardZeroChanges,
    /// The data of the one with fewer dirty blocks.
    DiscardLeastChanges,
    /// The data of this node.
    DiscardNode(NodeId),
}

/// After split brain with one Primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum After1Pri {
    /// Nothing is thrown away; the connection is given up.
    #[default]
    Disconnect,
    /// As without a Primary, when that throws away the Secondary's data; else disconnect.
    Consensus,
    /// The data of the Secondary.
    DiscardSecondary,
    /// As without a Primary; when that is the Primary's data, its handler is called to make it give up.
    CallPriLostAfterSb,
    /// As without a Primary, whoever it hits.
    ViolentlyAs0p,
}

/// After split brain with two Primaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum After2Pri {
    /// Nothing is thrown away; the connection is given up.
    #[default]
    Disconnect,
    /// As without a Primary; the loser's handler is called to make it give up.
    CallPriLostAfterSb,
    /// As without a Primary, whoever it hits.
    ViolentlyAs0p,
}

/// The three policies of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policies {
    /// Without a Primary.
    pub after_0pri: After0Pri,
    /// With one.
    pub after_1pri: After1Pri,
    /// With two.
    pub after_2pri: After2Pri,
}

/// Whose data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody's: the connection is given up.
    Disconnect,
    /// Mine.
    DiscardMine,
    /// Theirs.
    DiscardTheirs,
    /// Mine, but I am Primary: my `pri-lost-after-sb` handler is called, the connection is given up.
    CallMyHandler,
    /// Theirs, but the other side is Primary: its handler is called, the connection is given up.
    CallTheirHandler,
}

impl Verdict {
    /// The same verdict as the other side sees it.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::Disconnect => Self::Disconnect,
            Self::DiscardMine => Self::DiscardTheirs,
            Self::DiscardTheirs => Self::DiscardMine,
            Self::CallMyHandler => Self::CallTheirHandler,
            Self::CallTheirHandler => Self::CallMyHandler,
        }
    }
}

/// Whose data goes, if anybody's. An order to discard on connecting goes before every policy, but not from a Primary.
#[must_use]
pub fn judge(policies: &Policies, mine: &Report, theirs: &Report) -> Verdict {
    let primary = |side: &Report| side.role == Role::Primary;
    let order = |side: &Report| side.discard_my_data && !primary(side);
    match (order(mine), order(theirs)) {
        (true, false) => return Verdict::DiscardMine,
        (false, true) => return Verdict::DiscardTheirs,
        _ => {}
    }
    let as_0p = || zero_primaries(policies.after_0pri, mine, theirs);
    match (primary(mine), primary(theirs)) {
        (false, false) => as_0p(),
        (true, true) => match policies.after_2pri {
            After2Pri::Disconnect => Verdict::Disconnect,
            After2Pri::ViolentlyAs0p => as_0p(),
            After2Pri::CallPriLostAfterSb => call_primary(as_0p(), true, true),
        },
        (i_am, you_are) => match policies.after_1pri {
            After1Pri::Disconnect => Verdict::Disconnect,
            After1Pri::DiscardSecondary => secondary_loses(i_am),
            After1Pri::ViolentlyAs0p => as_0p(),
            After1Pri::CallPriLostAfterSb => call_primary(as_0p(), i_am, you_are),
            After1Pri::Consensus => {
                let verdict = as_0p();
                if verdict == secondary_loses(i_am) { verdict } else { Verdict::Disconnect }
            }
        },
    }
}

fn secondary_loses(i_am_primary: bool) -> Verdict {
    if i_am_primary { Verdict::DiscardTheirs } else { Verdict::DiscardMine }
}

fn call_primary(verdict: Verdict, i_am: bool, you_are: bool) -> Verdict {
    match verdict {
        Verdict::DiscardMine if i_am => Verdict::CallMyHandler,
        Verdict::DiscardTheirs if you_are => Verdict::CallTheirHandler,
        other => other,
    }
}

fn zero_primaries(policy: After0Pri, mine: &Report, theirs: &Report) -> Verdict {
    // The one with the smaller measure loses; equal measures decide nothing.
    let smaller_loses = |mine: u64, theirs: u64| match mine.cmp(&theirs) {
        std::cmp::Ordering::Less => Verdict::DiscardMine,
        std::cmp::Ordering::Greater => Verdict::DiscardTheirs,
        std::cmp::Ordering::Equal => Verdict::Disconnect,
    };
    match policy {
        After0Pri::Disconnect => Verdict::Disconnect,
        After0Pri::DiscardYoungerPrimary => smaller_loses(theirs.primary_since, mine.primary_since),
        After0Pri::DiscardOlderPrimary => smaller_loses(mine.primary_since, theirs.primary_since),
        After0Pri::DiscardZeroChanges => match (mine.dirty_blocks, theirs.dirty_blocks) {
            (0, 1..) => Verdict::DiscardMine,
            (1.., 0) => Verdict::DiscardTheirs,
            _ => Verdict::Disconnect,
        },
        After0Pri::DiscardLeastChanges => smaller_loses(mine.dirty_blocks, theirs.dirty_blocks),
        After0Pri::DiscardNode(node) if node == mine.node => Verdict::DiscardMine,
        After0Pri::DiscardNode(node) if node == theirs.node => Verdict::DiscardTheirs,
        After0Pri::DiscardNode(_) => Verdict::Disconnect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Generations;
    use crate::state::DiskState;

    fn side(id: u8, role: Role, dirty_blocks: u64, primary_since: u64) -> Report {
        Report {
            node: NodeId::new(id).unwrap(),
            role,
            disk: DiskState::UpToDate,
            generations: Generations::default(),
            crashed_primary: false,
            dirty_blocks,
            full_sync: false,
            discard_my_data: false,
            primary_since,
        }
    }

    const ZERO: [After0Pri; 5] = [
        After0Pri::Disconnect,
        After0Pri::DiscardYoungerPrimary,
        After0Pri::DiscardOlderPrimary,
        After0Pri::DiscardZeroChanges,
        After0Pri::DiscardLeastChanges,
    ];
    const ONE: [After1Pri; 5] = [
        After1Pri::Disconnect,
        After1Pri::Consensus,
        After1Pri::DiscardSecondary,
        After1Pri::CallPriLostAfterSb,
        After1Pri::ViolentlyAs0p,
    ];
    const TWO: [After2Pri; 3] =
        [After2Pri::Disconnect, After2Pri::CallPriLostAfterSb, After2Pri::ViolentlyAs0p];

    fn with(after_0pri: After0Pri, after_1pri: After1Pri, after_2pri: After2Pri) -> Policies {
        Policies { after_0pri, after_1pri, after_2pri }
    }

    #[test]
    fn the_default_throws_nothing_away() {
        for mine in [Role::Primary, Role::Secondary] {
            for theirs in [Role::Primary, Role::Secondary] {
                let verdict = judge(&Policies::default(), &side(0, mine, 5, 1), &side(1, theirs, 0, 2));
                assert_eq!(verdict, Verdict::Disconnect);
            }
        }
    }

    #[test]
    fn without_a_primary_each_policy_names_its_loser() {
        let (mine, theirs) = (side(0, Role::Secondary, 5, 10), side(1, Role::Secondary, 0, 20));
        let judged = |policy| judge(&with(policy, ONE[0], TWO[0]), &mine, &theirs);
        assert_eq!(judged(After0Pri::DiscardYoungerPrimary), Verdict::DiscardTheirs);
        assert_eq!(judged(After0Pri::DiscardOlderPrimary), Verdict::DiscardMine);
        assert_eq!(judged(After0Pri::DiscardZeroChanges), Verdict::DiscardTheirs);
        assert_eq!(judged(After0Pri::DiscardLeastChanges), Verdict::DiscardTheirs);
        assert_eq!(judged(After0Pri::DiscardNode(NodeId::new(0).unwrap())), Verdict::DiscardMine);
        assert_eq!(judged(After0Pri::DiscardNode(NodeId::new(7).unwrap())), Verdict::Disconnect);
    }

    #[test]
    fn with_one_primary() {
        let (pri, sec) = (side(0, Role::Primary, 5, 10), side(1, Role::Secondary, 9, 20));
        let judged = |zero, one| judge(&with(zero, one, TWO[0]), &pri, &sec);
        assert_eq!(judged(After0Pri::Disconnect, After1Pri::DiscardSecondary), Verdict::DiscardTheirs);
        assert_eq!(judged(After0Pri::DiscardLeastChanges, After1Pri::Consensus), Verdict::Disconnect);
        assert_eq!(judged(After0Pri::DiscardYoungerPrimary, After1Pri::Consensus), Verdict::DiscardTheirs);
        assert_eq!(
            judged(After0Pri::DiscardLeastChanges, After1Pri::CallPriLostAfterSb),
            Verdict::CallMyHandler
        );
        assert_eq!(judged(After0Pri::DiscardLeastChanges, After1Pri::ViolentlyAs0p), Verdict::DiscardMine);
    }

    #[test]
    fn an_order_to_discard_goes_first_but_not_from_a_primary() {
        let ordered = |role| Report { discard_my_data: true, ..side(0, role, 5, 10) };
        let other = side(1, Role::Secondary, 9, 20);
        assert_eq!(judge(&Policies::default(), &ordered(Role::Secondary), &other), Verdict::DiscardMine);
        assert_eq!(judge(&Policies::default(), &ordered(Role::Primary), &other), Verdict::Disconnect);
    }

    #[test]
    fn both_sides_always_come_to_the_same_verdict() {
        let roles = [Role::Primary, Role::Secondary];
        for (zero, one, two) in ZERO
            .into_iter()
            .flat_map(|z| ONE.into_iter().flat_map(move |o| TWO.into_iter().map(move |t| (z, o, t))))
        {
            for bits in 0..64u64 {
                let mut mine = side(0, roles[(bits & 1) as usize], bits >> 1 & 1, bits >> 2 & 1);
                let mut theirs = side(1, roles[(bits >> 3 & 1) as usize], bits >> 4 & 1, 1);
                mine.discard_my_data = bits >> 5 == 1;
                theirs.discard_my_data = false;
                let policies = with(zero, one, two);
                let verdict = judge(&policies, &mine, &theirs);
                assert_eq!(judge(&policies, &theirs, &mine), verdict.mirrored(), "{policies:?} {bits:b}");
            }
        }
    }
}
