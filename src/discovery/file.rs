//! Regular files: digest, mode, owner, time, and text. Links are followed: what counts is what a program reads.
//!
//! Three commands for any number of files. The texts come back to back: their lengths are those that stat(1)
//! gave, and each is believed only if its digest is the one that sha256sum(1) gave.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use super::batch::Observations;
use super::probe::{Answer, Probe, ProbeError, brief};
use super::script::quote;
use crate::facts::{Digest, FileState, Observation, Query};

const NAME: &str = "stat and sha256sum";
/// Time limit of each of the commands in seconds.
const LIMIT_S: u32 = 20;
/// Largest file whose text is fetched, in bytes.
pub const FILE_TEXT_LIMIT_BYTES: usize = 256 * 1024;
/// The record that ends the list of attributes; the texts follow.
const TEXTS: &[u8] = b"texts";

/// Looks at these files, and fetches the text of those marked.
pub(super) struct FileProbe(pub(super) Vec<(Utf8PathBuf, bool)>);

/// A line of stat(1).
struct Attributes {
    regular: bool,
    kind: String,
    mode: u32,
    owner: String,
    group: String,
    modified_us: i64,
    size_bytes: usize,
}

/// What the commands said, by path.
#[derive(Default)]
struct Records<'a> {
    digests: BTreeMap<&'a str, Digest>,
    attributes: BTreeMap<&'a str, Attributes>,
    texts: &'a [u8],
}

impl Probe for FileProbe {
    type Fact = Observations;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        let words = |wanted: fn(&(Utf8PathBuf, bool)) -> bool| {
            self.0
                .iter()
                .filter(|file| wanted(file))
                .map(|(path, _)| quote(path.as_str()))
                .collect::<Vec<_>>()
                .join(" ")
        };
        // Digest before time: a file written in between looks newer than it is, never older. Only regular files
        // are read, so that no pipe or device is.
        format!(
            "regular() {{ for f do shift; [ ! -f \"$f\" ] || set -- \"$@\" \"$f\"; done; [ $# -eq 0 ] || within {LIMIT_S} $tool \"$@\"; }}\n\
             tool='sha256sum -z --'; regular {all}\n\
             within {LIMIT_S} stat -L --printf='%F\\t%a\\t%U\\t%G\\t%.6Y\\t%s\\t%n\\0' -- {all}; status=$?\n\
             printf 'texts\\0'\n\
             tool='head -q -c {FILE_TEXT_LIMIT_BYTES} --'; regular {texts}\n\
             exit $status",
            all = words(|_| true),
            texts = words(|(_, text)| *text),
        )
    }

    fn parse(&self, answer: &Answer) -> Result<Observations, ProbeError> {
        let records = records(&answer.stdout);
        let mut rest = Some(records.texts);
        let mut observations = Observations::new();
        for (path, wanted) in &self.0 {
            let seen = match records.attributes.get(path.as_str()) {
                None => missing(path.as_str(), answer),
                Some(attributes) if !attributes.regular => {
                    Observation::Unknown(format!("{path} is a {}, not a regular file", attributes.kind))
                }
                Some(attributes) => match records.digests.get(path.as_str()) {
                    None => unread(path.as_str(), answer),
                    Some(digest) => present(path.as_str(), attributes, digest, wanted.then_some(&mut rest)),
                },
            };
            observations.insert(Query::File { path: path.clone(), text: false }, without_text(&seen));
            observations.insert(Query::File { path: path.clone(), text: true }, seen);
        }
        Ok(observations)
    }
}

/// A regular file that was seen; its text is cut off the front of what is left of the texts.
fn present(path: &str, seen: &Attributes, digest: &Digest, texts: Option<&mut Option<&[u8]>>) -> Observation {
    let mut state = FileState {
        digest: digest.clone(),
        mode: seen.mode,
        owner: seen.owner.clone(),
        group: seen.group.clone(),
        modified_us: seen.modified_us,
        text: None,
    };
    let Some(texts) = texts else { return Observation::File(Some(state)) };
    let length = seen.size_bytes.min(FILE_TEXT_LIMIT_BYTES);
    let piece = texts.and_then(|texts| texts.split_at_checked(length));
    // From the first wrong length on nobody knows where the next text begins.
    *texts = piece.map(|(_, rest)| rest);
    match piece {
        Some(_) if seen.size_bytes > FILE_TEXT_LIMIT_BYTES => Observation::File(Some(state)),
        Some((text, _)) if Digest::of(text) == *digest => {
            state.text = std::str::from_utf8(text).ok().map(str::to_owned);
            Observation::File(Some(state))
        }
        _ => {
            *texts = None;
            Observation::Unknown(format!("{path} or a file before it changed while it was read"))
        }
    }
}

fn without_text(seen: &Observation) -> Observation {
    match seen {
        Observation::File(Some(state)) => Observation::File(Some(FileState { text: None, ..state.clone() })),
        other => other.clone(),
    }
}

/// A file that stat did not show: absent if it says so, unknown otherwise.
fn missing(path: &str, answer: &Answer) -> Observation {
    match complaint("stat: ", path, answer) {
        Some("No such file or directory") => Observation::File(None),
        Some(reason) => Observation::Unknown(format!("{path}: {}", brief(reason))),
        None if answer.timed_out() => Observation::Unknown(format!("{path}: {}", answer.failure(NAME))),
        None => Observation::Unknown(format!("{path}: {NAME} did not answer: {}", brief(&answer.stderr))),
    }
}

/// A file that is there but was not read.
fn unread(path: &str, answer: &Answer) -> Observation {
    let reason = complaint("sha256sum: ", path, answer).unwrap_or("it was not read in time");
    Observation::Unknown(format!("{path}: {}", brief(reason)))
}

/// What `tool` said about `path`. stat quotes names, doubly when there is an apostrophe; sha256sum only if it must.
fn complaint<'a>(tool: &str, path: &str, answer: &'a Answer) -> Option<&'a str> {
    let forms = [format!(" '{path}': "), format!(" \"{path}\": "), format!("{tool}{path}: ")];
    let about = |line: &'a str| forms.iter().find_map(|form| line.split_once(form.as_str()));
    answer.stderr.lines().filter(|line| line.starts_with(tool)).find_map(about).map(|(_, reason)| reason)
}

fn records(stdout: &[u8]) -> Records<'_> {
    let mut records = Records::default();
    let mut rest = stdout;
    while let Some(end) = rest.iter().position(|&byte| byte == 0) {
        let (record, tail) = (&rest[..end], &rest[end + 1..]);
        rest = tail;
        if record == TEXTS {
            records.texts = rest;
            break;
        }
        let Ok(record) = std::str::from_utf8(record) else { continue };
        if let Some((path, attributes)) = attributes(record) {
            records.attributes.insert(path, attributes);
        } else if let Some((digest, path)) = record.split_once("  ")
            && let Ok(digest) = Digest::parse(digest)
        {
            records.digests.insert(path, digest);
        }
    }
    records
}

fn attributes(record: &str) -> Option<(&str, Attributes)> {
    let mut words = record.splitn(7, '\t');
    let kind = words.next()?;
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let (owner, group) = (words.next()?.to_owned(), words.next()?.to_owned());
    let modified_us = microseconds(words.next()?)?;
    let size_bytes = words.next()?.parse().ok()?;
    let path = words.next()?;
    let regular = matches!(kind, "regular file" | "regular empty file");
    Some((path, Attributes { regular, kind: kind.to_owned(), mode, owner, group, modified_us, size_bytes }))
}

/// `1700000000.123456` in microseconds; a time before the epoch carries its sign in front.
fn microseconds(time: &str) -> Option<i64> {
    let (seconds, fraction) = time.split_once('.')?;
    let micros: i64 = fraction.get(..6)?.parse::<u32>().ok()?.into();
    let whole = seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?;
    if seconds.starts_with('-') { whole.checked_sub(micros) } else { whole.checked_add(micros) }
}
