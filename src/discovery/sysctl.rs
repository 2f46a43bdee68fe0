//! Kernel parameters: `/proc/sys`.
//!
//! One grep(1) reads them all. The shell's own `read` would not do: it takes a byte at a time, and the kernel gives
//! a number's first byte only and then the end of the file.

use std::collections::BTreeMap;

use super::batch::Observations;
use super::probe::{Answer, Probe, ProbeError, brief};
use super::script::quote;
use crate::facts::{Observation, Query};

const NAME: &str = "/proc/sys";
/// Time limit in seconds.
const LIMIT_S: u32 = 5;

/// Reads these parameters. The observation is the value without the newline at its end, or none.
pub(super) struct SysctlProbe(pub(super) Vec<String>);

impl Probe for SysctlProbe {
    type Fact = Observations;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        let files = self.0.iter().map(|key| quote(&file(key))).collect::<Vec<_>>().join(" ");
        // Every line comes with its file's name and a NUL in front.
        format!(
            "[ -d /proc/sys/kernel ] || {{ echo 'there is no /proc/sys' >&2; exit 3; }}\nwithin {LIMIT_S} grep -aHZ '' -- {files}"
        )
    }

    fn parse(&self, answer: &Answer) -> Result<Observations, ProbeError> {
        // 1: no file has a line; 2: some could not be read, which is said for each on stderr.
        if answer.status > 2 {
            return Err(answer.failure(NAME));
        }
        let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in answer.text(NAME)?.lines() {
            if let Some((file, value)) = line.split_once('\0') {
                values.entry(file).or_default().push(value);
            }
        }
        let observe = |key: &String| {
            let file = file(key);
            if let Some(lines) = values.get(file.as_str()) {
                return Observation::Text(Some(lines.join("\n")));
            }
            let said = format!("grep: {file}: ");
            match answer.stderr.lines().find_map(|line| line.strip_prefix(&said)) {
                Some("No such file or directory") => Observation::Text(None),
                Some(reason) => Observation::Unknown(format!("{file}: {}", brief(reason))),
                None if answer.stderr.trim().is_empty() && answer.status <= 1 => {
                    Observation::Text(Some(String::new()))
                }
                None => Observation::Unknown(format!("{file}: it was not read: {}", brief(&answer.stderr))),
            }
        };
        Ok(self.0.iter().map(|key| (Query::Sysctl { key: key.clone() }, observe(key))).collect())
    }
}

/// The file of a key: as sysctl(8) has it, dots and slashes change places.
fn file(key: &str) -> String {
    let swapped = key.chars().map(|c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    });
    format!("{NAME}/{}", swapped.collect::<String>())
}
