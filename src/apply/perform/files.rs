//! Files: put in place, taken away, forgotten.

use std::time::Duration;

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};

use crate::apply::LedgerStore;
use crate::apply::ledger::make_dir;
use crate::apply::run::{Run, StepError};
use crate::facts::{Digest, LEDGER_PATH};
use crate::plan::{Action, Guard, Step};
use crate::secrets::has_marker;
use crate::transport::{Command, FileImage, Secrecy};

/// Where candidates lie while a program judges them; gone at the next boot.
const CANDIDATE_DIR: &str = "/run/hactl";
/// How long a program may take to judge a candidate.
const VALIDATE_TIMEOUT: Duration = Duration::from_secs(30);
/// What stands for the candidate's path in a validating command.
const CANDIDATE_PLACEHOLDER: &str = "{}";
/// What to do when a node cannot write.
const DISK_ADVICE: &str = "see that the disk is not full or read-only on the node, then run again";

/// Carries out [`Action::ReplaceFile`].
///
/// # Errors
/// The candidate was refused, or the node could not write.
pub(super) async fn replace(step: &Step, run: &Run, ledger: &mut LedgerStore) -> Result<(), StepError> {
    let Action::ReplaceFile { path, content, mode, owner, group, validate, shared } = &step.action else {
        return Err(StepError::failed("not a file to replace", "this is a defect of hactl"));
    };
    let revealed = run
        .secrets
        .reveal(content)
        .map_err(|error| StepError::failed(error.to_string(), "define the secret in the inventory"))?;
    let image = FileImage {
        path: path.clone(),
        content: Bytes::copy_from_slice(revealed.as_bytes()),
        mode: *mode,
        owner: owner.clone(),
        group: group.clone(),
        secrecy: if has_marker(content) { Secrecy::Secret } else { Secrecy::Open },
    };
    if let Some(argv) = validate {
        judge_candidate(step, run, &image, argv).await?;
    }
    let transport = run.transport(&step.node)?;
    if !shared {
        let present = match &step.guard {
            Guard::File { digest, .. } => digest.as_ref(),
            _ => None,
        };
        let digest = (!has_marker(content)).then(|| Digest::of(revealed.as_bytes()));
        ledger.own_file(transport.as_ref(), run.cluster_of(&step.node)?, path, present, digest).await?;
    }
    make_parent(step, run, path).await?;
    transport.replace(&image).await?;
    Ok(())
}

pub(super) async fn make_parent(step: &Step, run: &Run, path: &Utf8Path) -> Result<(), StepError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let command = Command::new(["mkdir", "-p", "--", parent.as_str()]);
    run.must(&step.node, &command, DISK_ADVICE).await.map(|_| ())
}

async fn judge_candidate(
    step: &Step,
    run: &Run,
    image: &FileImage,
    argv: &[String],
) -> Result<(), StepError> {
    let transport = run.transport(&step.node)?;
    make_dir(transport.as_ref(), CANDIDATE_DIR).await?;
    let name = image.path.as_str().trim_start_matches('/').replace('/', "%");
    let candidate = FileImage { path: Utf8PathBuf::from(format!("{CANDIDATE_DIR}/{name}")), ..image.clone() };
    transport.replace(&candidate).await?;
    let argv = argv.iter().map(|word| word.replace(CANDIDATE_PLACEHOLDER, candidate.path.as_str()));
    let command = Command::new(argv).timeout(VALIDATE_TIMEOUT);
    let verdict = run.must(&step.node, &command, "correct the attributes that the file is made from").await;
    let remove = Command::new(["rm", "-f", "--", candidate.path.as_str()]);
    run.must(&step.node, &remove, DISK_ADVICE).await?;
    verdict.map(|_| ())
}

/// Puts a copy of `$1` in the place of `$2`, at once.
const RESTORE: &str =
    r#"cp --archive --no-dereference --force -- "$1" "$2.hactl-new" && mv -f -- "$2.hactl-new" "$2""#;

/// Carries out [`Action::RemoveFile`].
///
/// # Errors
/// The node could not remove it or put the earlier one back.
pub(super) async fn remove(
    step: &Step,
    run: &Run,
    ledger: &mut LedgerStore,
    path: &Utf8Path,
    restore: Option<&Utf8Path>,
) -> Result<(), StepError> {
    // The backup itself goes with the ledger, so that a run that was killed here can be repeated.
    let command = match restore {
        Some(backup) => Command::new(["sh", "-c", RESTORE, "sh", backup.as_str(), path.as_str()]),
        None => Command::new(["rm", "-f", "--", path.as_str()]),
    };
    run.must(&step.node, &command, DISK_ADVICE).await?;
    let transport = run.transport(&step.node)?;
    ledger
        .record(transport.as_ref(), run.cluster_of(&step.node)?, |ledger| {
            ledger.files.remove(path);
        })
        .await
}

/// Carries out [`Action::ForgetLedger`].
///
/// # Errors
/// The node could not remove the ledger, the journal or the backups.
pub(super) async fn forget_ledger(step: &Step, run: &Run) -> Result<(), StepError> {
    let dir = Utf8Path::new(LEDGER_PATH).parent().unwrap_or(Utf8Path::new("/var/lib/hactl"));
    let command = Command::new(["rm", "-rf", "--", dir.as_str(), CANDIDATE_DIR]);
    run.must(&step.node, &command, DISK_ADVICE).await.map(|_| ())
}
