//! The facts that are always asked for: which probes, in which order, and how their answers become `NodeFacts`.
//!
//! Pure. The clock is asked first and last (see [`super::clock`]): whatever else is asked stands before
//! the last question.

use super::claim_ledger::ClaimLedgerProbe;
use super::clock::{self, ClockProbe, Exchange};
use super::frames::Reply;
use super::hardware::HardwareProbe;
use super::ledger::LedgerProbe;
use super::links::LinksProbe;
use super::os_release::OsReleaseProbe;
use super::package_manager::PackageManagerProbe;
use super::probe::Probe;
use super::script::Question;
use super::space::SpaceProbe;
use super::storage::{ContentProbe, LsblkProbe, TreeProbe, assemble};
use super::uname::UnameProbe;
use crate::facts::{Fact, NodeFacts};

/// How many questions the base script asks.
const QUESTIONS: usize = 13;

/// The questions, in order.
pub(super) fn questions() -> [Question; QUESTIONS] {
    [
        Question::of(&ClockProbe),
        Question::of(&UnameProbe),
        Question::of(&OsReleaseProbe),
        Question::of(&HardwareProbe),
        Question::of(&LinksProbe),
        Question::of(&SpaceProbe),
        Question::of(&PackageManagerProbe),
        Question::of(&LsblkProbe),
        Question::of(&TreeProbe),
        Question::of(&ContentProbe),
        Question::of(&LedgerProbe),
        Question::of(&ClaimLedgerProbe),
        Question::of(&ClockProbe),
    ]
}

/// The facts that the replies to [`questions`] tell.
pub(super) fn facts(replies: &[Reply; QUESTIONS], exchange: Exchange) -> NodeFacts {
    let [
        first,
        uname,
        os,
        hardware,
        links,
        space,
        package_manager,
        lsblk,
        tree,
        contents,
        ledger,
        claims,
        last,
    ] = replies;
    let uname = learn(&UnameProbe, uname);
    NodeFacts {
        hostname: map(&uname, |uname| uname.hostname.clone()),
        kernel: map(&uname, |uname| uname.kernel.clone()),
        os: learn(&OsReleaseProbe, os),
        hardware: learn(&HardwareProbe, hardware),
        links: learn(&LinksProbe, links),
        clock: clock(first, last, exchange),
        space: learn(&SpaceProbe, space),
        package_manager: learn(&PackageManagerProbe, package_manager),
        block_devices: assemble(
            learn(&LsblkProbe, lsblk),
            &learn(&TreeProbe, tree),
            &learn(&ContentProbe, contents),
        ),
        ledger: learn(&LedgerProbe, ledger),
        claims: learn(&ClaimLedgerProbe, claims),
        observed: std::collections::BTreeMap::new(),
    }
}

fn learn<P: Probe>(probe: &P, reply: &Reply) -> Fact<P::Fact> {
    match reply {
        Ok(answer) => probe.parse(answer).into(),
        Err(error) => Fact::Unknown(error.to_string()),
    }
}

fn map<T, U>(fact: &Fact<T>, value: impl FnOnce(&T) -> U) -> Fact<U> {
    match fact {
        Fact::Known(known) => Fact::Known(value(known)),
        Fact::Unknown(why) => Fact::Unknown(why.clone()),
    }
}

/// Without the second reading the first one still bounds the offset.
fn clock(first: &Reply, last: &Reply, exchange: Exchange) -> Fact<crate::facts::Clock> {
    match (learn(&ClockProbe, first), learn(&ClockProbe, last)) {
        (Fact::Known(first), Fact::Known(last)) => clock::compare(first, last, exchange).into(),
        (Fact::Known(first), Fact::Unknown(_)) => clock::compare(first, first, exchange).into(),
        (Fact::Unknown(why), _) => Fact::Unknown(why),
    }
}
