//! The writer of a drill, and what became of its records. Pure but for the text of the script.
//!
//! On every node the same script runs; it writes where the volume is mounted and waits where it is not. A record is one
//! line `RUN NODE NUMBER`, appended and fsync'ed before its number is told: what was told is acknowledged, and must be
//! in the file for ever after.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::names::NodeName;

/// What the names of the files begin with.
pub const FILE_PREFIX: &str = ".hactl-drill-";
/// Digits of a record's number, so that one that was cut off is no smaller one.
const NUMBER_DIGITS: usize = 10;
/// Time between two records, in seconds as the shell reads it.
pub const PAUSE: &str = "0.02";

/// `$1` the mount, `$2` the file on it, `$3` the run, `$4` the node, `$5` the pause, `$6` seconds after which it ends.
/// Tells the number of each record that is on stable storage. Ends with its stdin. Never creates the file: below a
/// mount point that lost its mount there is none.
pub const WRITER: &str = r#"set -o pipefail
number=0
while [ "$SECONDS" -lt "$6" ]; do
    if mountpoint -q -- "$1" && [ -f "$2" ]; then
        number=$((number + 1))
        # The empty line before it: what a lost writer left may end in the middle of a record.
        if printf '\n%s %s %010d\n' "$3" "$4" "$number" |
            dd of="$2" oflag=append conv=notrunc,nocreat,fsync status=none 2>/dev/null; then
            printf '%s\n' "$number"
        fi
    fi
    IFS= read -r -t "$5" word
    [ $? -gt 128 ] || exit 0
done"#;

/// A record that was told to be on stable storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Which node wrote it.
    pub node: NodeName,
    /// Its number.
    pub number: u64,
    /// When that was heard, from the beginning of the drill.
    pub at: Duration,
}

/// What was acknowledged, in the order in which it was heard.
#[derive(Debug, Clone, Default)]
pub struct Writes(Vec<Acknowledged>);

impl Writes {
    /// Notes one.
    pub fn push(&mut self, acknowledged: Acknowledged) {
        self.0.push(acknowledged);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of a node's there are.
    #[must_use]
    pub fn of(&self, node: &NodeName) -> usize {
        self.0.iter().filter(|one| &one.node == node).count()
    }

    /// The first that another node than this one wrote after the last of this one's: who, and when.
    #[must_use]
    pub fn taken_over(&self, victim: &NodeName) -> Option<&Acknowledged> {
        self.0.iter().find(|one| &one.node != victim)
    }

    /// Time between the last write of the node that was lost and the first one of another.
    #[must_use]
    pub fn outage(&self, victim: &NodeName) -> Option<Duration> {
        let first = self.taken_over(victim)?;
        let last = self.0.iter().rfind(|one| &one.node == victim && one.at <= first.at)?;
        Some(first.at.saturating_sub(last.at))
    }
}

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records(BTreeMap<String, BTreeSet<u64>>);

impl Records {
    /// Reads the file; what is no record of this run (the end of one that was cut off) is passed over.
    #[must_use]
    pub fn read(run: &str, content: &[u8]) -> Self {
        let mut found: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for line in String::from_utf8_lossy(content).lines() {
            let words: Vec<&str> = line.split(' ').collect();
            if let [of, node, number] = words.as_slice()
                && *of == run
                && number.len() == NUMBER_DIGITS
                && let Ok(number) = number.parse()
            {
                found.entry((*node).to_owned()).or_default().insert(number);
            }
        }
        Self(found)
    }

    fn holds(&self, record: &Acknowledged) -> bool {
        self.0.get(record.node.as_str()).is_some_and(|numbers| numbers.contains(&record.number))
    }
}

/// How many acknowledged records the file does not hold.
#[must_use]
pub fn count_lost(writes: &Writes, records: &Records) -> usize {
    writes.0.iter().filter(|record| !records.holds(record)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn writes(list: &[(&str, u64, u64)]) -> Writes {
        let mut writes = Writes::default();
        for (name, number, at) in list {
            writes.push(Acknowledged { node: node(name), number: *number, at: Duration::from_millis(*at) });
        }
        writes
    }

    #[test]
    fn an_acknowledged_record_that_is_not_there_is_lost() {
        let writes = writes(&[("alpha", 1, 0), ("alpha", 2, 10), ("beta", 1, 900)]);
        let all =
            b"\nr alpha 0000000001\n\nr alpha 0000000002\n\nr alpha 0000000003\n\nr al\nr beta 0000000001\n";
        assert_eq!(count_lost(&writes, &Records::read("r", all)), 0);
        let some = b"\nr alpha 0000000001\n\nr alp\0\0\0\n\nr beta 0000000001\n";
        assert_eq!(count_lost(&writes, &Records::read("r", some)), 1);
        assert_eq!(count_lost(&writes, &Records::read("other", all)), 3);
    }

    #[test]
    fn what_is_cut_off_is_no_record() {
        assert_eq!(
            Records::read("r", b"r alpha 0000000001 2\nr  alpha 0000000001\nr alpha x\nr alpha 00000\n"),
            Records::default()
        );
    }

    #[test]
    fn the_outage_is_from_the_last_write_here_to_the_first_there() {
        let writes = writes(&[("alpha", 1, 0), ("alpha", 2, 10), ("beta", 1, 900), ("beta", 2, 910)]);
        assert_eq!(writes.outage(&node("alpha")), Some(Duration::from_millis(890)));
        assert_eq!(writes.taken_over(&node("alpha")).map(|one| one.node.as_str()), Some("beta"));
        assert_eq!((writes.len(), writes.of(&node("alpha"))), (4, 2));
    }

    #[test]
    fn nobody_took_over() {
        assert_eq!(writes(&[("alpha", 1, 0)]).outage(&node("alpha")), None);
    }

    #[test]
    fn the_writer_is_valid_shell() {
        let checked = std::process::Command::new("bash").args(["-n", "-c", WRITER]).status().unwrap();
        assert!(checked.success());
    }
}
