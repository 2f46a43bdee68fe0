//! One drill after the other in one lab, while clients write through the virtual address: `make drill-replica N=10`.

use std::time::{Duration, Instant};

use crate::lab::TestLab;

use super::volume::{IN_SYNC, SYNC_LIMIT, applied, both_sides_are_the_same, drilled, serving, sides};
use super::writers::Writers;

/// The variable that says how many.
const ASKED: &str = "HACTL_DRILLS";
/// Longest time from the end of one drill until the next may begin.
const WELL_LIMIT: Duration = Duration::from_secs(300);

/// What is told of each drill, and its unit.
const COLUMNS: [&str; 7] = [
    "without writes, ms",
    "fenced, ms",
    "back, ms",
    "acknowledged",
    "lost",
    "through the address",
    "resynced, KiB",
];

/// Why they are not run; `None` when they were asked for.
pub(crate) fn not_asked() -> Option<String> {
    let number = std::env::var(ASKED).ok().filter(|number| number.parse::<u64>().is_ok_and(|it| it > 0));
    number
        .is_none()
        .then(|| format!("it takes a minute for each; `make drill-replica N=10` ({ASKED}=10) runs them"))
}

pub(crate) fn drills_in_a_row() {
    let number: u64 = std::env::var(ASKED).expect("asked for").parse().expect("a number");
    let mut lab = TestLab::up("drills", &["--nodes", "3"]);
    serving(&mut lab, "");
    applied(&lab);
    let mut rows: Vec<[u64; COLUMNS.len()]> = Vec::new();
    for round in 0..number {
        let (victim, other) = sides(&lab, "srv");
        lab.wait_on(other, "both sides are equal", WELL_LIMIT, IN_SYNC);
        let row = drill(&lab, round);
        lab.say(&format!("drill {} of {number}, {victim} off: {}", round + 1, told(&row)));
        rows.push(row);
    }
    both_sides_are_the_same(&lab);
    lab.say(&format!("{number} drills, each verified, nothing lost:\n{}", table(&rows)));
}

/// One drill; anything lost or not as it should be afterwards ends the test.
fn drill(lab: &TestLab, round: u64) -> [u64; COLUMNS.len()] {
    let writers = Writers::start(lab, round);
    let began = Instant::now();
    let report = drilled(lab);
    writers.answered_since(Instant::now(), "after the drill");
    let holder = sides(lab, "srv").0;
    let through_address = writers.none_is_missing(lab, holder, began).count;
    lab.wait_on(holder, "both sides are equal", SYNC_LIMIT, IN_SYNC);
    let number = |value: &serde_json::Value| value.as_u64().unwrap_or_else(|| panic!("a number: {report}"));
    [
        number(&report["writes"]["outage_ms"]),
        number(&report["fenced_after_ms"]),
        number(&report["back_after_ms"]),
        number(&report["writes"]["acknowledged"]),
        number(&report["writes"]["lost"]),
        through_address,
        number(&report["resynced_bytes"]) / 1024,
    ]
}

fn told(row: &[u64]) -> String {
    let cells = COLUMNS.iter().zip(row).map(|(name, value)| format!("{name}: {value}"));
    cells.collect::<Vec<_>>().join("; ")
}

/// Every drill in a line, then the least, the middle and the most of each column.
fn table(rows: &[[u64; COLUMNS.len()]]) -> String {
    let sorted = |column: usize| {
        let mut values: Vec<u64> = rows.iter().map(|row| row[column]).collect();
        values.sort_unstable();
        values
    };
    let pick = |name: &str, at: fn(usize) -> usize| {
        let cells = (0..COLUMNS.len()).map(|column| sorted(column)[at(rows.len())].to_string());
        format!("| {name} | {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let mut text = format!("| drill | {} |\n|{}\n", COLUMNS.join(" | "), " --- |".repeat(COLUMNS.len() + 1));
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
        text += &format!("| {} | {} |\n", number + 1, cells.join(" | "));
    }
    text + &pick("least", |_| 0) + &pick("median", |count| count / 2) + &pick("most", |count| count - 1)
}
