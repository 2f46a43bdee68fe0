//! Whatever a node sends, reading it neither panics nor turns a failure into a fact.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::base;
use super::batch::batches;
use super::clock::Exchange;
use super::fixtures::cases;
use super::frames;
use super::probe::Answer;
use super::script::{Boundary, Question};
use crate::facts::{ClusterQuery, Fact, Observation, Query};

/// Queries of every kind, by the probe that answers them and the name of the case where a probe needs several.
pub(super) fn recorded_queries() -> Vec<(&'static str, Option<&'static str>, BTreeSet<Query>)> {
    let file = |path: &str, text| Query::File { path: path.into(), text };
    let unit = |name: &str| Query::Unit { name: name.to_owned() };
    let package = |name: &str| Query::Package { name: name.to_owned() };
    let module = |name: &str| Query::Module { name: name.to_owned() };
    let sysctl = |key: &str| Query::Sysctl { key: key.to_owned() };
    let report = |name, report| ("cluster", Some(name), BTreeSet::from([Query::Cluster(report)]));
    vec![
        (
            "file",
            None,
            BTreeSet::from([
                file("/etc/corosync/corosync.conf", true),
                file("/etc/corosync/authkey", false),
                file("/etc/hostname", true),
                file("/etc", false),
                file("/etc/hactl-absent", true),
            ]),
        ),
        (
            "unit",
            None,
            ["corosync", "pacemaker", "ssh", "absent"].map(|n| unit(&format!("{n}.service"))).into(),
        ),
        ("package", None, ["corosync", "pacemaker", "dpkg", "no-such-package"].map(package).into()),
        ("module", None, ["loop", "nbd", "dm-mod", "no_such_module"].map(module).into()),
        ("sysctl", None, ["kernel.panic", "net.ipv4.tcp_rmem", "no.such.key"].map(sysctl).into()),
        report("cib", ClusterQuery::Cib),
        report("status", ClusterQuery::Status),
        report("cmap", ClusterQuery::Cmap),
        report("quorum", ClusterQuery::Quorum),
        report("leftover_cib", ClusterQuery::LeftoverCib),
    ]
}

fn queries() -> BTreeSet<Query> {
    recorded_queries().into_iter().flat_map(|(_, _, queries)| queries).collect()
}

/// Every recorded answer, as material to damage.
fn recorded() -> Vec<Vec<u8>> {
    let probes = [
        "block_content",
        "block_tree",
        "claim_ledger",
        "clock",
        "cluster",
        "file",
        "hardware",
        "ledger",
        "links",
        "lsblk",
        "module",
        "os_release",
        "package",
        "package_manager",
        "space",
        "sysctl",
        "uname",
        "unit",
    ];
    probes.iter().flat_map(|probe| cases(probe)).map(|case| std::fs::read(case).expect("read")).collect()
}

/// A recorded answer with a piece replaced by something else, or cut off.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..24),
        Just(b"99999999999999999999".to_vec()),
        Just(b"-1".to_vec()),
        Just(b"\0".to_vec()),
        Just(b"\n".to_vec()),
        Just("ü".as_bytes().to_vec())
    ];
    let damage = (proptest::sample::select(recorded()), any::<proptest::sample::Index>(), 0_usize..64, piece);
    damage.prop_map(|(mut bytes, at, length, piece)| {
        let from = at.index(bytes.len() + 1);
        let to = (from + length).min(bytes.len());
        bytes.splice(from..to, piece);
        bytes
    })
}

fn read_everything(answer: &Answer) {
    let replies = base::questions().map(|_| Ok(answer.clone()));
    let facts = base::facts(&replies, Exchange { sent_us: i64::MIN, received_us: i64::MAX });
    assert!(facts.observed.is_empty());
    let queries = queries();
    let mut answered = BTreeSet::new();
    for batch in batches(&queries) {
        answered.extend(batch.read(&Ok(answer.clone())).into_keys());
    }
    assert_eq!(answered, queries, "every query has an observation");
}

proptest! {
    #[test]
    fn arbitrary_answers_are_read_without_panic(
        stdout in proptest::collection::vec(any::<u8>(), 0..512), stderr in "\\PC{0,80}", status in 0_u32..256,
    ) {
        read_everything(&Answer { status, stdout, stderr });
    }

    #[test]
    fn damaged_answers_are_read_without_panic(stdout in damaged(), status in prop_oneof![Just(0_u32), 0_u32..256]) {
        read_everything(&Answer { status, stdout, stderr: String::new() });
    }

    #[test]
    fn nothing_printed_is_never_an_absence_when_it_failed(status in 3_u32..100) {
        let silent = Answer { status, ..Answer::default() };
        for batch in batches(&queries()) {
            for (query, seen) in batch.read(&Ok(silent.clone())) {
                prop_assert!(matches!(seen, Observation::Unknown(_)), "{query:?}: {seen:?}");
            }
        }
        let facts = base::facts(&base::questions().map(|_| Ok(silent.clone())), Exchange { sent_us: 0, received_us: 0 });
        prop_assert!(matches!(facts.ledger, Fact::Unknown(_)));
        prop_assert!(matches!(facts.block_devices, Fact::Unknown(_)));
        prop_assert!(matches!(facts.package_manager, Fact::Unknown(_)));
    }

    #[test]
    fn any_stream_gives_one_reply_per_question(
        pieces in proptest::collection::vec(prop_oneof![
            "\\PC{0,12}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..12),
            (0_usize..5).prop_map(|n| format!("\n@B o {n}\n").into_bytes()),
            (0_usize..5, 0_u32..300).prop_map(|(n, code)| format!("\n@B e {n} {code}\n").into_bytes()),
        ], 0..20),
    ) {
        let questions: Vec<_> = ["a", "b", "c"].map(|probe| Question { probe, lines: String::new() }).into();
        prop_assert_eq!(frames::parse(&pieces.concat(), &Boundary::fixed("@B"), &questions).len(), 3);
    }

    #[test]
    fn payloads_survive_framing(
        payloads in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..64), 0_u32..256, "[a-z\n]{0,8}"), 0..6),
    ) {
        let questions: Vec<_> = payloads.iter().map(|_| Question { probe: "x", lines: String::new() }).collect();
        let mut stream = b"greeting".to_vec();
        for (n, (stdout, code, stderr)) in payloads.iter().enumerate() {
            stream.extend(format!("\n@B o {n}\n").into_bytes());
            stream.extend(stdout);
            stream.extend(format!("\n@B e {n} {code}\n{stderr}").into_bytes());
        }
        stream.extend(b"\n@B z\n");
        let replies = frames::parse(&stream, &Boundary::fixed("@B"), &questions);
        for (reply, (stdout, status, stderr)) in replies.into_iter().zip(payloads) {
            let answer = reply.expect("whole");
            prop_assert_eq!(answer, Answer { status, stdout, stderr });
        }
    }
}
