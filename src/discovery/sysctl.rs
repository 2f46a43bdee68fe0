//! Kernel parameters: `/proc/sys`, read by the shell itself.

use std::collections::BTreeMap;

use super::batch::Observations;
use super::probe::{Answer, Probe, ProbeError, brief};
use super::script::quote;
use crate::facts::{Observation, Query};

const NAME: &str = "/proc/sys";

/// Reads these parameters. The observation is the value without the newline at its end, or none.
pub(super) struct SysctlProbe(pub(super) Vec<String>);

impl Probe for SysctlProbe {
    type Fact = Observations;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        let files = self.0.iter().map(|key| quote(&file(key))).collect::<Vec<_>>().join(" ");
        // Every line of a value comes with its file's number in front.
        format!(
            "n=0\n\
             for key in {files}; do\n\
             \x20 if [ ! -e \"/proc/sys/$key\" ]; then echo \"absent $n\"\n\
             \x20 elif [ ! -f \"/proc/sys/$key\" ]; then echo \"folder $n\"\n\
             \x20 elif while IFS= read -r line; do printf 'value %s %s\\n' $n \"$line\"; done <\"/proc/sys/$key\"; then\n\
             \x20   echo \"end $n\"\n\
             \x20 fi\n\
             \x20 n=$((n + 1))\n\
             done\n\
             exit 0"
        )
    }

    fn parse(&self, answer: &Answer) -> Result<Observations, ProbeError> {
        let text = answer.succeeded(NAME)?.text(NAME)?;
        let mut values: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        let mut seen: BTreeMap<usize, Observation> = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            let (Some(word), Some(Ok(number))) = (words.next(), words.next().map(str::parse::<usize>)) else {
                continue;
            };
            match word {
                "value" => values.entry(number).or_default().push(words.next().unwrap_or_default()),
                "absent" => drop(seen.insert(number, Observation::Text(None))),
                "folder" => drop(seen.insert(number, Observation::Unknown("it is a folder".to_owned()))),
                "end" => {
                    let value = values.remove(&number).unwrap_or_default().join("\n");
                    seen.insert(number, Observation::Text(Some(value)));
                }
                _ => {}
            }
        }
        let unread = || Observation::Unknown(format!("{NAME}: it was not read: {}", brief(&answer.stderr)));
        Ok(self
            .0
            .iter()
            .enumerate()
            .map(|(number, key)| {
                (Query::Sysctl { key: key.clone() }, seen.remove(&number).unwrap_or_else(unread))
            })
            .collect())
    }
}

/// The file of a key below `/proc/sys`: as sysctl(8) has it, dots and slashes change places.
fn file(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            c => c,
        })
        .collect()
}
