//! Secret files that exist only on the nodes.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use rand::TryRngCore;
use rand::rngs::OsRng;
use zeroize::Zeroizing;

use crate::apply::LedgerStore;
use crate::apply::run::{Run, StepError};
use crate::facts::Digest;
use crate::names::NodeName;
use crate::plan::{Guard, Step};
use crate::transport::{Command, FileImage, Secrecy};

/// Permission bits of a secret file: root reads, nobody writes.
const SECRET_MODE: u32 = 0o400;
/// Largest secret that is copied, in bytes.
const SECRET_LIMIT_BYTES: usize = 64 * 1024;
/// What stands for the secret in the text of its file.
const SECRET_PLACEHOLDER: &str = "{}";
/// How long making the folder of a secret may take.
const MKDIR_TIMEOUT: Duration = Duration::from_secs(20);

/// Carries out [`crate::plan::Action::GenerateSecret`].
///
/// # Errors
/// No randomness, or the node could not write.
pub(super) async fn generate(
    step: &Step,
    run: &Run,
    ledger: &mut LedgerStore,
    path: &Utf8Path,
    size_bytes: usize,
    text: Option<&str>,
) -> Result<(), StepError> {
    let mut bytes = Zeroizing::new(vec![0_u8; size_bytes]);
    OsRng.try_fill_bytes(&mut bytes).map_err(|error| {
        StepError::failed(format!("no random bytes: {error}"), "see getrandom(2) on this machine")
    })?;
    let Some(text) = text else { return put(step, run, ledger, path, &bytes).await };
    let mut digits = Zeroizing::new(String::with_capacity(2 * size_bytes));
    for byte in bytes.iter() {
        // Writing to a string does not fail.
        let _ = write!(digits, "{byte:02x}");
    }
    let filled = Zeroizing::new(text.replace(SECRET_PLACEHOLDER, &digits));
    put(step, run, ledger, path, filled.as_bytes()).await
}

/// Carries out [`crate::plan::Action::CopySecret`].
///
/// # Errors
/// The source has no such file any more, or a node could not read or write.
pub(super) async fn copy(
    step: &Step,
    run: &Run,
    ledger: &mut LedgerStore,
    path: &Utf8Path,
    from: &NodeName,
) -> Result<(), StepError> {
    let content = run.transport(from)?.read(path).await?;
    let Some(content) = content else {
        return Err(StepError::guard(format!("{path} is not on {from} any more")));
    };
    if content.is_empty() || content.len() > SECRET_LIMIT_BYTES {
        let reason =
            format!("{path} on {from} has {} bytes; 1 to {SECRET_LIMIT_BYTES} are plausible", content.len());
        return Err(StepError::failed(reason, format!("remove {path} where it is wrong, then run again")));
    }
    put(step, run, ledger, path, &content).await
}

async fn put(
    step: &Step,
    run: &Run,
    ledger: &mut LedgerStore,
    path: &Utf8Path,
    content: &[u8],
) -> Result<(), StepError> {
    let transport = run.transport(&step.node)?;
    let present: Option<&Digest> = match &step.guard {
        Guard::File { digest, .. } => digest.as_ref(),
        _ => None,
    };
    ledger.own_file(transport.as_ref(), run.cluster_of(&step.node)?, path, present, None).await?;
    if let Some(parent) = path.parent() {
        let command = Command::new(["mkdir", "-p", "--", parent.as_str()]).timeout(MKDIR_TIMEOUT);
        run.must(&step.node, &command, "see that the disk is not full or read-only on the node").await?;
    }
    transport
        .replace(&FileImage {
            path: Utf8PathBuf::from(path),
            content: Bytes::copy_from_slice(content),
            mode: SECRET_MODE,
            owner: "root".to_owned(),
            group: "root".to_owned(),
            secrecy: Secrecy::Secret,
        })
        .await?;
    Ok(())
}
