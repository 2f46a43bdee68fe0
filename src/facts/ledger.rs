//! What hactl owns on a node, as recorded on that node.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::Digest;

/// Where the ledger is kept on every node.
pub const LEDGER_PATH: &str = "/var/lib/hactl/owned.json";
/// Version of the ledger's format; another one is refused.
pub const LEDGER_FORMAT: u32 = 1;

/// Everything on a node that hactl made, and what to put back when it goes. An entry is written before the
/// thing that it names, so that a run killed in between leaves an entry too many, never one too few.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// [`LEDGER_FORMAT`]; 0 in a ledger that was never written.
    pub format: u32,
    /// The cluster that the node belongs to; empty when none.
    pub cluster: String,
    /// Files that hactl wrote.
    #[serde(default)]
    pub files: BTreeMap<Utf8PathBuf, OwnedFile>,
    /// Packages that were absent before hactl installed them (dependencies included).
    #[serde(default)]
    pub packages: Vec<String>,
    /// Units whose state hactl changed.
    #[serde(default)]
    pub units: BTreeMap<String, OwnedUnit>,
}

/// A file that hactl wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnedFile {
    /// Digest of what was written last; absent for secrets.
    pub digest: Option<Digest>,
    /// Where the file that was there before is kept; absent when there was none.
    pub backup: Option<Utf8PathBuf>,
}

/// A unit whose state hactl changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnedUnit {
    /// `UnitFileState` before; empty when the unit did not exist.
    pub was: String,
    /// `ActiveState` before.
    pub was_active: String,
}
