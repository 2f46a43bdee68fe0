//! Corosync and Pacemaker.

use std::time::Duration;

use crate::apply::Event;
use crate::apply::run::{Run, StepError, tail};
use crate::cib::{self, Cib, CibPatch, EXIT_OLD, Guard as PatchGuard, Ownership, ROLLOUT_SET};
use crate::names::NodeName;
use crate::plan::Step;
use crate::transport::{Command, ExitStatus, Output};

/// How long one of the cluster's own commands may take.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a patch is sent again because the status changed in between, conditional on all of the version.
const EXACT_ATTEMPTS: usize = 5;
/// What `crm_verify` ends with when it found nothing worse than warnings; its exit status is the same as for errors.
const ONLY_WARNINGS: &str = "Warnings found during check";
/// What to do when the cluster refuses.
const CLUSTER_ADVICE: &str = "see `crm_mon -1` and the logs of pacemaker on the node, then run again";
/// Folders in which the stack keeps state that outlives its packages.
const STATE_DIRS: [&str; 4] = [
    "/var/lib/pacemaker/cib",
    "/var/lib/pacemaker/pengine",
    "/var/lib/pacemaker/blackbox",
    "/var/lib/corosync",
];

fn command<const N: usize>(argv: [&str; N]) -> Command {
    Command::new(argv).timeout(CLUSTER_TIMEOUT)
}

/// Has every node of the cluster read its corosync.conf again.
///
/// # Errors
/// corosync refused the new configuration.
pub(super) async fn reload_corosync(step: &Step, run: &Run) -> Result<(), StepError> {
    let advice = "see what corosync says in its log on the node; it goes on with what it had";
    run.must(&step.node, &command(["corosync-cfgtool", "-R"]), advice).await.map(|_| ())
}

/// Switches maintenance mode for the duration of a rollout, in a property set of its own, so that a person's own
/// setting is not touched.
///
/// # Errors
/// Pacemaker refused.
pub(super) async fn maintenance(step: &Step, run: &Run, on: bool) -> Result<(), StepError> {
    let name =
        ["crm_attribute", "--type", "crm_config", "--set-name", ROLLOUT_SET, "--name", "maintenance-mode"];
    let change: &[&str] = if on { &["--update", "true"] } else { &["--delete"] };
    let argv = name.iter().chain(change).copied();
    run.must(&step.node, &Command::new(argv).timeout(CLUSTER_TIMEOUT), CLUSTER_ADVICE).await?;
    if !on {
        let set = format!("<cluster_property_set id=\"{ROLLOUT_SET}\"/>");
        let remove = command(["cibadmin", "--delete", "--scope", "crm_config", "--xml-text", &set]);
        run.must(&step.node, &remove, CLUSTER_ADVICE).await?;
    }
    Ok(())
}

/// Moves what runs on a node elsewhere, or lets it come back.
///
/// # Errors
/// Pacemaker refused.
pub(super) async fn standby(step: &Step, run: &Run, target: &NodeName, on: bool) -> Result<(), StepError> {
    let node = ["crm_attribute", "--node", target.as_str(), "--name", "standby"];
    let change: &[&str] = if on { &["--update", "on"] } else { &["--delete"] };
    let argv = node.iter().chain(change).copied();
    run.must(&step.node, &Command::new(argv).timeout(CLUSTER_TIMEOUT), CLUSTER_ADVICE).await.map(|_| ())
}

/// Has Pacemaker forget what failed of a resource on a node, and try again.
///
/// # Errors
/// Pacemaker refused.
pub(super) async fn cleanup(
    step: &Step,
    run: &Run,
    resource: &str,
    target: &NodeName,
) -> Result<(), StepError> {
    let argv = ["crm_resource", "--cleanup", "--resource", resource, "--node", target.as_str()];
    run.must(&step.node, &command(argv), CLUSTER_ADVICE).await.map(|_| ())
}

/// Has Pacemaker stop every resource.
///
/// # Errors
/// Pacemaker refused.
pub(super) async fn stop_all(step: &Step, run: &Run) -> Result<(), StepError> {
    let argv = ["crm_attribute", "--type", "crm_config", "--name", "stop-all-resources", "--update", "true"];
    run.must(&step.node, &command(argv), CLUSTER_ADVICE).await.map(|_| ())
}

/// Removes what the stack keeps on disk, so that a later cluster does not find the old one's CIB.
///
/// # Errors
/// The node could not remove it.
pub(super) async fn remove_state(step: &Step, run: &Run) -> Result<(), StepError> {
    let argv = ["find"].into_iter().chain(STATE_DIRS).chain(["-mindepth", "1", "-delete"]);
    let output = run.exec(&step.node, &Command::new(argv).timeout(CLUSTER_TIMEOUT)).await?;
    let absent = |line: &&str| !line.contains("No such file or directory");
    if output.status.success() || output.stderr_text().lines().find(absent).is_none() {
        return Ok(());
    }
    Err(StepError::failed(tail(&output), "see that the disk is not read-only on the node, then run again"))
}

/// Carries out [`crate::plan::Action::PatchCib`].
///
/// # Errors
/// The result would not be valid, somebody else changed the CIB meanwhile, or Pacemaker refused.
pub(super) async fn patch_cib(step: &Step, run: &Run, desired: &str) -> Result<(), StepError> {
    let desired = Cib::parse(desired).map_err(|error| {
        StepError::failed(format!("the plan's CIB is wrong: {error}"), "this is a defect of hactl")
    })?;
    let reveal = |name: &str| run.secrets.get(name).map(str::to_owned);
    let mut checked = false;
    for attempt in 0..=EXACT_ATTEMPTS {
        let live = query(step, run).await?;
        let difference = cib::diff(&live, &desired, &Ownership::default(), &reveal)
            .map_err(|error| StepError::failed(error.to_string(), "correct the inventory"))?;
        if let Some(conflict) = difference.conflicts.first() {
            return Err(StepError::guard(format!("{}: {}", conflict.object, conflict.why)));
        }
        let Some(patch) = difference.patch else { return Ok(()) };
        if !checked {
            verify(step, run, &difference.target).await?;
            checked = true;
        }
        let guard = if attempt < EXACT_ATTEMPTS {
            PatchGuard::Exact { num_updates: live.version().num_updates }
        } else {
            PatchGuard::Epoch
        };
        let output = send(step, run, &patch, guard).await?;
        match output.status {
            ExitStatus::Code(0) => return Ok(()),
            ExitStatus::Code(code) if i64::from(code) == i64::from(EXIT_OLD) => {}
            _ => {
                let reason = format!("`cibadmin --patch` ended with {}: {}", output.status, tail(&output));
                return Err(StepError::failed(run.secrets.hide(&reason), CLUSTER_ADVICE));
            }
        }
    }
    Err(StepError::guard("the CIB was changed by somebody else at the same time"))
}

async fn query(step: &Step, run: &Run) -> Result<Cib, StepError> {
    let output = run.must(&step.node, &command(["cibadmin", "--query"]).secret(), CLUSTER_ADVICE).await?;
    Cib::parse(&output.stdout_text()).map_err(|error| {
        StepError::failed(format!("the live CIB cannot be understood: {error}"), CLUSTER_ADVICE)
    })
}

async fn send(step: &Step, run: &Run, patch: &CibPatch, guard: PatchGuard) -> Result<Output, StepError> {
    let reveal = |name: &str| run.secrets.get(name).map(str::to_owned);
    let request = patch
        .request(guard, &reveal)
        .map_err(|error| StepError::failed(error.to_string(), "define the secret in the inventory"))?;
    let command = command(["cibadmin", "--patch", "--xml-pipe"]).stdin(request.into_bytes()).secret();
    run.exec(&step.node, &command).await
}

/// Has Pacemaker's own checker look at the result before anything is sent. It gets the configuration alone: a resource
/// that runs and is to be removed would be an orphan to it, which it refuses. What it only warns of is told.
async fn verify(step: &Step, run: &Run, target: &Cib) -> Result<(), StepError> {
    let text = run
        .secrets
        .reveal(&target.without_status().render())
        .map_err(|error| StepError::failed(error.to_string(), "define the secret in the inventory"))?;
    let command = command(["crm_verify", "--verbose", "--xml-pipe"]).stdin(text.as_bytes().to_vec()).secret();
    let output = run.exec(&step.node, &command).await?;
    if output.status.success() {
        return Ok(());
    }
    let said = run.secrets.hide(&tail(&output));
    if said.lines().any(|line| line.contains(ONLY_WARNINGS)) {
        run.events.emit(Event::Note { text: format!("crm_verify on {}: {said}", step.node) });
        return Ok(());
    }
    let reason = format!("Pacemaker would not accept the CIB: {said}");
    Err(StepError::failed(reason, "correct the inventory; nothing was sent to the cluster"))
}
