//! Which devices of the node were claimed: its ledger of claims.

use super::ledger::read_ledger;
use super::probe::{Answer, Probe, ProbeError};
use crate::facts::{CLAIM_LEDGER_FORMAT, CLAIM_LEDGER_PATH, ClaimLedger};

const NAME: &str = CLAIM_LEDGER_PATH;

/// Reads the ledger of claims; one that is not there is empty.
pub(super) struct ClaimLedgerProbe;

impl Probe for ClaimLedgerProbe {
    type Fact = ClaimLedger;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        format!("cat {CLAIM_LEDGER_PATH}")
    }

    fn parse(&self, answer: &Answer) -> Result<ClaimLedger, ProbeError> {
        Ok(read_ledger(NAME, CLAIM_LEDGER_FORMAT, answer)?.unwrap_or_default())
    }
}
