//! The running program, put on a node.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use camino::Utf8Path;

use super::files::make_parent;
use crate::apply::LedgerStore;
use crate::apply::run::{Run, StepError};
use crate::facts::Digest;
use crate::plan::{Guard, Step};
use crate::transport::{Command, FileImage, Secrecy};

/// Where this program is read from, whatever has become of the file that it was started from.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// Everybody may run it, root may replace it.
const MODE: u32 = 0o755;
/// How long it may take to tell its version on the node.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Carries out [`crate::plan::Action::InstallProgram`]. It gets its name only when it runs there.
///
/// # Errors
/// It is another one than that of the plan, the node could not write, or it does not run there.
pub(super) async fn install(
    step: &Step,
    run: &Run,
    ledger: &mut LedgerStore,
    path: &Utf8Path,
    digest: &Digest,
) -> Result<(), StepError> {
    let read = tokio::fs::read(Path::new(THIS_PROGRAM)).await;
    let content = Bytes::from(read.map_err(|error| {
        StepError::failed(format!("this program cannot be read: {error}"), "see that /proc is mounted")
    })?);
    if Digest::of(&content) != *digest {
        return Err(StepError::guard("this program is not the one that made the plan".to_owned()));
    }
    let transport = run.transport(&step.node)?;
    let present = match &step.guard {
        Guard::File { digest, .. } => digest.as_ref(),
        _ => None,
    };
    let cluster = run.cluster_of(&step.node)?;
    ledger.own_file(transport.as_ref(), cluster, path, present, Some(digest.clone())).await?;
    make_parent(step, run, path).await?;
    let candidate = path.with_extension("new");
    let (owner, group) = ("root".to_owned(), "root".to_owned());
    let image =
        FileImage { path: candidate.clone(), content, mode: MODE, owner, group, secrecy: Secrecy::Open };
    transport.replace(&image).await?;
    let trial = Command::new([candidate.as_str(), "--version"]).timeout(TRIAL_TIMEOUT);
    let advice = "build hactl on this or an older release of the node's distribution (the C library of the node must be at \
                  least the one that it was built with), for the node's processor";
    let ran = run.must(&step.node, &trial, advice).await.map(|_| ());
    let last = match &ran {
        Ok(()) => Command::new(["mv", "-fT", "--", candidate.as_str(), path.as_str()]),
        Err(_) => Command::new(["rm", "-f", "--", candidate.as_str()]),
    };
    run.must(&step.node, &last, "see that the disk is not full or read-only on the node").await?;
    ran
}
