//! The ledger of one node during a run: changed in memory and on the node together, the node first.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};

use super::StepError;
use crate::facts::{
    CLAIM_LEDGER_FORMAT, CLAIM_LEDGER_PATH, ClaimEntry, ClaimLedger, Digest, Fact, LEDGER_FORMAT,
    LEDGER_PATH, Ledger, OwnedFile, OwnedUnit,
};
use crate::names::ClusterName;
use crate::transport::{Command, FileImage, Secrecy, Transport};

/// Where the files that hactl replaced are kept.
const BACKUP_DIR: &str = "/var/lib/hactl/backup";
/// How long making a folder or copying a small file may take.
const HOUSEKEEPING_TIMEOUT: Duration = Duration::from_secs(20);

/// The ledgers of one node: what hactl owns there, and which devices are claimed.
#[derive(Debug)]
pub struct LedgerStore {
    ledger: Ledger,
    claims: Fact<ClaimLedger>,
    /// Whether their folder is known to exist.
    has_folder: bool,
}

impl LedgerStore {
    /// The ledgers as discovery read them.
    #[must_use]
    pub fn new(ledger: Ledger, claims: Fact<ClaimLedger>) -> Self {
        Self { ledger, claims, has_folder: false }
    }

    /// What is recorded.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Records an intention: the node has it on disk when this returns.
    ///
    /// # Errors
    /// The ledger could not be written; nothing else may be done then.
    pub async fn record(
        &mut self,
        transport: &dyn Transport,
        cluster: &ClusterName,
        change: impl FnOnce(&mut Ledger),
    ) -> Result<(), StepError> {
        let mut next = self.ledger.clone();
        next.format = LEDGER_FORMAT;
        next.cluster = cluster.to_string();
        change(&mut next);
        if next == self.ledger {
            return Ok(());
        }
        self.make_folder(transport).await?;
        put(transport, LEDGER_PATH, &next).await?;
        self.ledger = next;
        Ok(())
    }

    /// Changes the record of what is claimed: the node has it on disk when this returns.
    ///
    /// # Errors
    /// The ledger could not be read before or cannot be written now; no device may be touched then.
    pub async fn record_claims(
        &mut self,
        transport: &dyn Transport,
        change: impl FnOnce(&mut BTreeMap<String, ClaimEntry>),
    ) -> Result<(), StepError> {
        let known = match &self.claims {
            Fact::Known(known) => known,
            Fact::Unknown(why) => {
                let reason = format!("which devices were claimed there could not be learned: {why}");
                return Err(StepError::guarded(reason, "see why and run again"));
            }
        };
        let mut next = known.clone();
        next.format = CLAIM_LEDGER_FORMAT;
        change(&mut next.claims);
        if next != *known {
            self.make_folder(transport).await?;
            put(transport, CLAIM_LEDGER_PATH, &next).await?;
            self.claims = Fact::Known(next);
        }
        Ok(())
    }

    async fn make_folder(&mut self, transport: &dyn Transport) -> Result<(), StepError> {
        if !self.has_folder {
            make_dir(transport, "/var/lib/hactl").await?;
            self.has_folder = true;
        }
        Ok(())
    }

    /// Records that a file becomes ours; keeps what was there before the first time.
    ///
    /// # Errors
    /// The backup or the ledger could not be written.
    pub async fn own_file(
        &mut self,
        transport: &dyn Transport,
        cluster: &ClusterName,
        path: &Utf8Path,
        present: Option<&Digest>,
        digest: Option<Digest>,
    ) -> Result<(), StepError> {
        let known = self.ledger.files.get(path).cloned();
        let backup = match (&known, present) {
            (Some(known), _) => known.backup.clone(),
            (None, None) => None,
            (None, Some(_)) => Some(back_up(transport, path).await?),
        };
        self.record(transport, cluster, |ledger| {
            ledger.files.insert(path.to_owned(), OwnedFile { digest, backup });
        })
        .await
    }

    /// Records a unit's state before the first change.
    ///
    /// # Errors
    /// The ledger could not be written.
    pub async fn own_unit(
        &mut self,
        transport: &dyn Transport,
        cluster: &ClusterName,
        unit: &str,
        before: OwnedUnit,
    ) -> Result<(), StepError> {
        if self.ledger.units.contains_key(unit) {
            return Ok(());
        }
        self.record(transport, cluster, |ledger| {
            ledger.units.insert(unit.to_owned(), before);
        })
        .await
    }
}

/// Puts a ledger in place, at once and on disk.
async fn put(transport: &dyn Transport, path: &str, ledger: &impl serde::Serialize) -> Result<(), StepError> {
    let content = serde_json::to_vec_pretty(ledger)
        .map_err(|error| StepError::failed(format!("{path}: {error}"), "this is a defect of hactl"))?;
    transport
        .replace(&FileImage {
            path: Utf8PathBuf::from(path),
            content: Bytes::from(content),
            mode: 0o600,
            owner: "root".to_owned(),
            group: "root".to_owned(),
            secrecy: Secrecy::Open,
        })
        .await?;
    Ok(())
}

/// Makes a folder that only root may enter, if it is absent.
///
/// # Errors
/// The node refused.
pub(super) async fn make_dir(transport: &dyn Transport, path: &str) -> Result<(), StepError> {
    let command = Command::new(["install", "-d", "-m", "0700", path]).timeout(HOUSEKEEPING_TIMEOUT);
    let output = transport.exec(&command).await?;
    if output.status.success() {
        Ok(())
    } else {
        let reason = format!("cannot make {path}: {}", super::run::tail(&output));
        Err(StepError::failed(reason, "see that the disk is not full or read-only, then run again"))
    }
}

/// Copies a file to where the earlier ones are kept, and returns where that is.
async fn back_up(transport: &dyn Transport, path: &Utf8Path) -> Result<Utf8PathBuf, StepError> {
    make_dir(transport, BACKUP_DIR).await?;
    let to = Utf8PathBuf::from(format!(
        "{BACKUP_DIR}/{}",
        path.as_str().trim_start_matches('/').replace('/', "%")
    ));
    let command = Command::new(["cp", "--archive", "--no-dereference", "--", path.as_str(), to.as_str()])
        .timeout(HOUSEKEEPING_TIMEOUT);
    let output = transport.exec(&command).await?;
    if output.status.success() {
        Ok(to)
    } else {
        let reason = format!("cannot keep the earlier {path}: {}", super::run::tail(&output));
        Err(StepError::failed(reason, "see that the disk is not full or read-only, then run again"))
    }
}
