//! What hactl owns on the node: its ledger.

use serde::de::DeserializeOwned;

use super::probe::{Answer, Probe, ProbeError, malformed};
use crate::facts::{LEDGER_FORMAT, LEDGER_PATH, Ledger};

const NAME: &str = LEDGER_PATH;

/// Reads the ledger; one that is not there is empty.
pub(super) struct LedgerProbe;

impl Probe for LedgerProbe {
    type Fact = Ledger;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        format!("cat {LEDGER_PATH}")
    }

    fn parse(&self, answer: &Answer) -> Result<Ledger, ProbeError> {
        Ok(read_ledger(NAME, LEDGER_FORMAT, answer)?.unwrap_or_default())
    }
}

/// A ledger of this format that `cat` was asked for; `None` when there is none.
///
/// # Errors
/// It could not be read, or is of another format: nothing is known then.
pub(super) fn read_ledger<T: DeserializeOwned>(
    name: &'static str,
    format: u32,
    answer: &Answer,
) -> Result<Option<T>, ProbeError> {
    // `cat` is asked instead of `test -e`, which calls a folder that may not be read an absence.
    if answer.status == 1 && answer.stderr.trim_end().ends_with("No such file or directory") {
        return Ok(None);
    }
    let answer = answer.succeeded(name)?;
    let ledger: serde_json::Value =
        serde_json::from_slice(&answer.stdout).map_err(|error| malformed(name, error.to_string()))?;
    // The format is judged first: the fields of another one are not this program's to complain about.
    let found = ledger.get("format").and_then(serde_json::Value::as_u64);
    if found != Some(u64::from(format)) {
        let found = found.map_or_else(|| "no format".to_owned(), |found| format!("format {found}"));
        let reason = format!("it has {found}; this hactl reads format {format}: use the one that wrote it");
        return Err(malformed(name, reason));
    }
    serde_json::from_value(ledger).map(Some).map_err(|error| malformed(name, error.to_string()))
}
