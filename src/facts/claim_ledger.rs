//! Which devices of a node were claimed, as recorded on that node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::StableId;

/// Where the ledger of claims is kept on every node.
pub const CLAIM_LEDGER_PATH: &str = "/var/lib/hactl/claims.json";
/// Version of its format; another one is refused.
pub const CLAIM_LEDGER_FORMAT: u32 = 1;

/// The devices of a node that were claimed. An entry is written, durably, before the first byte on its device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimLedger {
    /// [`CLAIM_LEDGER_FORMAT`]; 0 in a ledger that was never written.
    pub format: u32,
    /// By purpose: `filesystem:data`, `sbd`, `drbd:data`.
    #[serde(default)]
    pub claims: BTreeMap<String, ClaimEntry>,
}

/// A device that was claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimEntry {
    /// The cluster whose inventory claimed it.
    pub cluster: String,
    /// Which device.
    pub identity: StableId,
    /// Its size in bytes when it was claimed.
    pub size_bytes: u64,
    /// What its user puts on it. Anything else found there is somebody else's.
    pub expects: Vec<ExpectedSignature>,
}

/// A signature that the user of a claimed device puts there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedSignature {
    /// As in [`super::Signature::kind`].
    pub kind: String,
    /// Its UUID, where it was chosen beforehand.
    pub uuid: Option<String>,
}
