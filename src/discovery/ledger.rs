//! What hactl owns on the node: its ledger.

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
        // `cat` is asked instead of `test -e`, which calls a folder that may not be read an absence.
        if answer.status == 1 && answer.stderr.trim_end().ends_with("No such file or directory") {
            return Ok(Ledger::default());
        }
        let answer = answer.succeeded(NAME)?;
        let ledger: serde_json::Value =
            serde_json::from_slice(&answer.stdout).map_err(|error| malformed(NAME, error.to_string()))?;
        // The format is judged first: the fields of another one are not this program's to complain about.
        let format = ledger.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(LEDGER_FORMAT)) {
            let found = format.map_or_else(|| "no format".to_owned(), |format| format!("format {format}"));
            let reason =
                format!("it has {found}; this hactl reads format {LEDGER_FORMAT}: use the one that wrote it");
            return Err(malformed(NAME, reason));
        }
        serde_json::from_value(ledger).map_err(|error| malformed(NAME, error.to_string()))
    }
}
