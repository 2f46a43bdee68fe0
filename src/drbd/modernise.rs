//! Files of DRBD 8.0 to 8.3 in the words of 8.4 or 9.
//!
//! Facts: drbd.conf(5) of 8.3, 8.4 and 9; the tests compare with what drbdadm makes of old files itself.

use super::conf::DrbdConf;
use super::tree::{Entry, Section, Statement};
use super::word::Word;

/// For which DRBD a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// 8.4: `fencing` is an option of `disk`.
    V84,
    /// 9: `fencing` is an option of `net`.
    V9,
}

impl Generation {
    /// The one that distributions carry: what is written for a node whose kernel nobody has asked.
    pub const ASSUMED: Self = Self::V84;

    /// The generation of a version of the kernel module: `8.4.11`, `9.2.8`.
    #[must_use]
    pub fn of(version: &str) -> Self {
        if version.starts_with('9') { Self::V9 } else { Self::V84 }
    }

    /// Its name for people and templates.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::V84 => "8.4",
            Self::V9 => "9",
        }
    }
}

/// A file brought up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modernised {
    /// The file.
    pub conf: DrbdConf,
    /// Options that DRBD does not know any more and that were left out, by name.
    pub dropped: Vec<String>,
}

/// Where an option of `syncer` went: its section and its name there.
const SYNCER: &[(&str, &str, &str)] = &[
    ("rate", "disk", "resync-rate"),
    ("after", "disk", "resync-after"),
    ("al-extents", "disk", "al-extents"),
    ("c-plan-ahead", "disk", "c-plan-ahead"),
    ("c-delay-target", "disk", "c-delay-target"),
    ("c-fill-target", "disk", "c-fill-target"),
    ("c-max-rate", "disk", "c-max-rate"),
    ("c-min-rate", "disk", "c-min-rate"),
    ("verify-alg", "net", "verify-alg"),
    ("csums-alg", "net", "csums-alg"),
    ("use-rle", "net", "use-rle"),
    ("cpu-mask", "options", "cpu-mask"),
    ("on-no-data-accessible", "options", "on-no-data-accessible"),
];

/// Options that are gone.
const GONE: &[&str] =
    &["delay-probe-volume", "delay-probe-interval", "throttle-threshold", "hold-off-threshold", "use-bmbv"];

/// Flags that were said by their absence, and what they are called now.
const NEGATED: &[(&str, &str)] = &[
    ("no-disk-barrier", "disk-barrier"),
    ("no-disk-flushes", "disk-flushes"),
    ("no-disk-drain", "disk-drain"),
    ("no-md-flushes", "md-flushes"),
    ("no-tcp-cork", "tcp-cork"),
];

pub(super) fn modernise(entries: &[Entry], generation: Generation) -> Modernised {
    let mut dropped = Vec::new();
    let entries = entries
        .iter()
        .map(|entry| match entry {
            Entry::Section(section) if section.keyword.is("common") || section.keyword.is("resource") => {
                Entry::Section(Section {
                    body: body(&section.body, generation, &mut dropped),
                    ..section.clone()
                })
            }
            _ => entry.clone(),
        })
        .collect();
    Modernised { conf: DrbdConf::from_entries(entries), dropped }
}

/// The body of `common` or of a resource.
fn body(entries: &[Entry], generation: Generation, dropped: &mut Vec<String>) -> Vec<Entry> {
    let mut result: Vec<Entry> = Vec::new();
    // What is said elsewhere now, to be put into its section when all sections are known.
    let mut moved: Vec<(&'static str, Statement)> = Vec::new();
    for entry in entries {
        match entry {
            Entry::Statement(statement) if statement.keyword.is("protocol") => {
                moved.push(("net", statement.clone()));
            }
            Entry::Section(section) if section.keyword.is("syncer") && !section.skip => {
                syncer(section, &mut moved, &mut result, dropped);
            }
            Entry::Section(section) => {
                let mut body = inner(section, dropped);
                if generation == Generation::V9 && section.keyword.is("disk") {
                    body.retain(|entry| match entry {
                        Entry::Statement(statement) if statement.keyword.is("fencing") => {
                            moved.push(("net", statement.clone()));
                            false
                        }
                        _ => true,
                    });
                }
                result.push(Entry::Section(Section { body, ..section.clone() }));
            }
            Entry::Statement(statement) => result.push(Entry::Statement(renamed(statement))),
            Entry::Comment(_) => result.push(entry.clone()),
        }
    }
    for (section, statement) in moved {
        let is_it = |entry: &Entry| matches!(entry, Entry::Section(found) if found.keyword.is(section) && found.names.is_empty() && !found.skip);
        if !result.iter().any(is_it) {
            result.push(Entry::Section(Section::new(section, Vec::new(), Vec::new())));
        }
        if let Some(Entry::Section(found)) = result.iter_mut().find(|entry| is_it(entry)) {
            found.body.push(Entry::Statement(statement));
        }
    }
    result
}

fn syncer(
    section: &Section,
    moved: &mut Vec<(&'static str, Statement)>,
    result: &mut Vec<Entry>,
    dropped: &mut Vec<String>,
) {
    for entry in &section.body {
        let Entry::Statement(statement) = entry else {
            result.push(entry.clone());
            continue;
        };
        let known = SYNCER.iter().find(|(old, ..)| statement.keyword.is(old));
        match known {
            Some((_, place, name)) => {
                moved.push((place, Statement { keyword: Word::keyword(name), ..statement.clone() }));
            }
            None => dropped.push(statement.keyword.text().to_owned()),
        }
    }
}

/// The body of a section of a resource.
fn inner(section: &Section, dropped: &mut Vec<String>) -> Vec<Entry> {
    let mut body = Vec::new();
    for entry in &section.body {
        match entry {
            Entry::Statement(statement) if GONE.iter().any(|gone| statement.keyword.is(gone)) => {
                dropped.push(statement.keyword.text().to_owned());
            }
            Entry::Statement(statement) => body.push(Entry::Statement(renamed(statement))),
            Entry::Section(nested) => {
                body.push(Entry::Section(Section { body: inner(nested, dropped), ..nested.clone() }));
            }
            Entry::Comment(_) => body.push(entry.clone()),
        }
    }
    body
}

/// A statement under the name it has now.
fn renamed(statement: &Statement) -> Statement {
    let values = statement.values.clone();
    if let Some((_, flag)) = NEGATED.iter().find(|(old, _)| statement.keyword.is(old)) {
        return Statement { keyword: Word::keyword(flag), values: vec![Word::keyword("no")] };
    }
    let keyword = match statement.keyword.text() {
        "outdate-peer" => Word::keyword("fence-peer"),
        "flexible-meta-disk" => Word::keyword("meta-disk"),
        _ => statement.keyword.clone(),
    };
    Statement { keyword, values }
}
