//! The decision table, line by line, and its symmetry over every combination of a small world.

use super::*;

fn node(id: u8) -> NodeId {
    NodeId::new(id).unwrap()
}

/// A report out of few words: current, slot for the other side, history.
fn side(id: u8, current: u64, slot: u64, history: &[u64]) -> Report {
    let mut generations = Generations {
        current: Generation(current),
        history: history.iter().copied().map(Generation).collect(),
        ..Generations::default()
    };
    if slot != 0 {
        generations.bitmap.insert(node(1 - id), Generation(slot));
    }
    Report {
        node: node(id),
        role: Role::Secondary,
        disk: DiskState::UpToDate,
        generations,
        crashed_primary: false,
        dirty_blocks: 0,
        full_sync: false,
        discard_my_data: false,
        primary_since: 0,
    }
}

#[test]
fn every_line_of_the_table() {
    use Decision::{InSync, Source, SplitBrain, Target, Unrelated};
    use Extent::{Bitmap, Full};
    let table: &[(&str, Report, Report, Decision)] = &[
        ("both just created", side(0, 4, 0, &[]), side(1, 4, 0, &[]), InSync),
        ("mine just created", side(0, 4, 0, &[]), side(1, 0x20, 0, &[]), Target(Full)),
        ("yours just created", side(0, 0x20, 0, &[]), side(1, 5, 0, &[]), Source(Full)),
        ("equal", side(0, 0x20, 0, &[]), side(1, 0x21, 0, &[]), InSync),
        ("mine is your slot", side(0, 0x20, 0, &[]), side(1, 0x30, 0x20, &[]), Target(Bitmap)),
        ("yours is my slot", side(0, 0x30, 0x21, &[]), side(1, 0x20, 0, &[]), Source(Bitmap)),
        ("mine in your history", side(0, 0x20, 0, &[]), side(1, 0x40, 0x30, &[0x30, 0x20]), Target(Full)),
        ("yours in my history", side(0, 0x40, 0, &[0x20]), side(1, 0x20, 0, &[]), Source(Full)),
        ("same base, both went on", side(0, 0x30, 0x20, &[]), side(1, 0x40, 0x20, &[]), SplitBrain),
        ("common ancestor", side(0, 0x30, 0, &[0x20, 0x10]), side(1, 0x40, 0, &[0x18, 0x10]), SplitBrain),
        ("my slot in your history", side(0, 0x30, 0x10, &[]), side(1, 0x40, 0, &[0x10]), SplitBrain),
        ("nothing in common", side(0, 0x30, 0, &[0x20]), side(1, 0x40, 0, &[0x50]), Unrelated),
        ("slot wins over history", side(0, 0x20, 0, &[]), side(1, 0x40, 0x20, &[0x20]), Target(Bitmap)),
    ];
    for (what, mine, theirs, expected) in table {
        assert_eq!(decide(mine, theirs), *expected, "{what}");
        assert_eq!(decide(theirs, mine), expected.mirrored(), "{what}, from the other side");
    }
}

#[test]
fn equal_generations_and_a_crash() {
    let crashed = |id| Report { crashed_primary: true, dirty_blocks: 3, ..side(id, 0x20, 0, &[]) };
    let clean = |id| side(id, 0x20, 0, &[]);
    let primary = |id| Report { role: Role::Primary, ..side(id, 0x20, 0, &[]) };
    let source = Decision::Source(Extent::Bitmap);
    assert_eq!(decide(&crashed(1), &clean(0)), source, "the crashed Primary decides");
    assert_eq!(decide(&primary(1), &crashed(0)), source, "but not over one that is Primary now");
    assert_eq!(decide(&crashed(0), &crashed(1)), source, "of two crashed ones the lower node id");
    let marked = Report { dirty_blocks: 1, ..clean(1) };
    assert_eq!(decide(&marked, &clean(0)), source, "marks are never ignored");
    let torn = Report { disk: DiskState::Inconsistent, crashed_primary: true, ..clean(0) };
    assert_eq!(decide(&torn, &clean(1)), Decision::Target(Extent::Bitmap));
    assert_eq!(decide(&torn, &Report { node: node(1), ..torn.clone() }), Decision::NoSource);
}

#[test]
fn an_inconsistent_disk_is_never_source_and_a_primary_never_target() {
    let newer = |disk| Report { disk, ..side(0, 0x30, 0x20, &[]) };
    let older = side(1, 0x20, 0, &[]);
    assert_eq!(decide(&newer(DiskState::Inconsistent), &older), Decision::NoSource);
    assert_eq!(decide(&newer(DiskState::Outdated), &older), Decision::Source(Extent::Bitmap));
    let in_use = Report { role: Role::Primary, ..older.clone() };
    assert_eq!(decide(&newer(DiskState::UpToDate), &in_use), Decision::WouldReplacePrimary);
    let reattached = Report { disk: DiskState::Consistent, ..in_use };
    assert_eq!(decide(&newer(DiskState::UpToDate), &reattached), Decision::Source(Extent::Bitmap));
    let bare = Report { disk: DiskState::Diskless, ..older };
    assert_eq!(decide(&newer(DiskState::UpToDate), &bare), Decision::NoData);
}

#[test]
fn an_owed_full_synchronisation_stays_full() {
    let owed = Report { full_sync: true, ..side(0, 0x30, 0x20, &[]) };
    assert_eq!(decide(&owed, &side(1, 0x20, 0, &[])), Decision::Source(Extent::Full));
}

/// Every report over two disks, two roles, crash or not, marks or not, and four generations in each place.
fn every_report(id: u8) -> Vec<Report> {
    let mut all = Vec::new();
    for current in [4, 0x10, 0x20, 0x30] {
        for slot in [0, 0x10, 0x20, 0x30] {
            for history in [&[][..], &[0x10], &[0x20, 0x10]] {
                for bits in 0..8u8 {
                    let mut report = side(id, current, slot, history);
                    if bits & 1 != 0 {
                        report.disk = DiskState::Inconsistent;
                    }
                    if bits & 2 != 0 {
                        report.role = Role::Primary;
                    }
                    report.crashed_primary = bits & 4 != 0;
                    report.dirty_blocks = u64::from(bits & 4 != 0);
                    all.push(report);
                }
            }
        }
    }
    all
}

#[test]
fn both_sides_always_come_to_the_same_decision() {
    let (left, right) = (every_report(0), every_report(1));
    for mine in &left {
        for theirs in &right {
            let decision = decide(mine, theirs);
            assert_eq!(decide(theirs, mine), decision.mirrored(), "{mine:?}\n{theirs:?}");
            if let Decision::Source(_) = decision {
                assert!(mine.disk.is_whole(), "{mine:?}");
                assert!(theirs.role != Role::Primary || theirs.disk != DiskState::UpToDate);
            }
        }
    }
    assert!(left.len() * right.len() > 100_000);
}
