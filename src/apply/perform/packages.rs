//! Packages, by apt.

use std::time::Duration;

use crate::apply::run::{Run, StepError, tail};
use crate::apply::{Event, FailureKind, LedgerStore};
use crate::plan::Step;
use crate::transport::{Command, Output};

/// How long installing or removing packages may take.
const PACKAGES_TIMEOUT: Duration = Duration::from_secs(1200);
/// How long apt waits for another process to give back dpkg's lock, in seconds.
const LOCK_WAIT_S: u32 = 60;
/// How long the lists' lock, for which apt itself does not wait, is tried for.
const LISTS_LOCK_WAIT: Duration = Duration::from_secs(60);
/// How often the lists' lock is tried.
const LISTS_LOCK_INTERVAL: Duration = Duration::from_secs(2);
/// What apt says when another process holds a lock.
const LOCKED: &str = "Could not get lock";
/// What to do when a source of packages does not answer.
const SOURCES_DO_NOT_ANSWER: &str =
    "the node's package sources do not answer: see its network and /etc/apt/sources.list, then run again";
/// How long masking a few units may take.
const MASK_TIMEOUT: Duration = Duration::from_secs(30);

/// apt or dpkg without questions, in English.
fn apt(argv: &[&str]) -> Command {
    let quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "NEEDRESTART_SUSPEND=1"];
    Command::new(quiet.iter().chain(argv).copied()).timeout(PACKAGES_TIMEOUT)
}

fn apt_get<'a>(verb: &[&str], packages: impl IntoIterator<Item = &'a str>) -> Command {
    let wait = format!("DPkg::Lock::Timeout={LOCK_WAIT_S}");
    let mut argv = vec!["apt-get", "-q", "-y", "-o", &wait, "-o", "Dpkg::Options::=--force-confdef"];
    argv.extend(["-o", "Dpkg::Options::=--force-confold"]);
    argv.extend(verb);
    argv.push("--");
    let packages: Vec<&str> = packages.into_iter().collect();
    apt(&[argv.as_slice(), packages.as_slice()].concat())
}

/// Carries out [`crate::plan::Action::CheckPackages`].
///
/// # Errors
/// apt would refuse to install them: one is not to be had, or they do not go together with what is installed.
pub(super) async fn check(step: &Step, run: &Run, packages: &[String]) -> Result<(), StepError> {
    let before = |mut error: StepError| {
        if error.kind == FailureKind::Failed {
            error.kind = FailureKind::Guard;
        }
        error
    };
    let lists = update(step, run).await.map_err(before)?;
    let output = run.exec(&step.node, &simulation(packages)).await?;
    if output.status.success() {
        return Ok(());
    }
    // What a killed run left half done may be in the way of every installation until it is finished, and finishing it
    // is a change: the installation does that first, and tells it when that is not enough.
    let audit = run.exec(&step.node, &apt(&["dpkg", "--audit"])).await?;
    if audit.status.success() && !audit.stdout.is_empty() {
        return Ok(());
    }
    let mut refused = before(refused(&output, packages));
    let fetched = lists.stderr_text();
    if is_unanswered(&fetched) {
        refused.reason = format!("{}\n{}", refused.reason, fetched.trim_end());
        SOURCES_DO_NOT_ANSWER.clone_into(&mut refused.advice);
    }
    Err(refused)
}

/// Carries out [`crate::plan::Action::InstallPackages`].
///
/// # Errors
/// apt refused: the package is not to be had, another process holds the lock, the disk is full, …
pub(super) async fn install(
    step: &Step,
    run: &Run,
    ledger: &mut LedgerStore,
    packages: &[String],
    keep_stopped: &[String],
) -> Result<(), StepError> {
    mask(step, run, keep_stopped).await?;
    mend(step, run).await?;
    update(step, run).await?;
    let names = packages.iter().map(String::as_str);
    let simulated = checked(step, run, &simulation(packages), packages).await?;
    let mut fresh: Vec<String> = newly_installed(&simulated.stdout_text());
    let transport = run.transport(&step.node)?;
    ledger
        .record(transport.as_ref(), run.cluster_of(&step.node)?, |ledger| {
            fresh.retain(|name| !ledger.packages.contains(name));
            ledger.packages.append(&mut fresh);
            ledger.packages.sort();
        })
        .await?;
    checked(step, run, &apt_get(&["install", "--no-install-recommends"], names), packages).await.map(|_| ())
}

/// Carries out [`crate::plan::Action::RemovePackages`].
///
/// # Errors
/// apt refused.
pub(super) async fn remove(
    step: &Step,
    run: &Run,
    ledger: &mut LedgerStore,
    packages: &[String],
) -> Result<(), StepError> {
    mend(step, run).await?;
    checked(step, run, &apt_get(&["purge"], packages.iter().map(String::as_str)), packages).await?;
    let transport = run.transport(&step.node)?;
    ledger
        .record(transport.as_ref(), run.cluster_of(&step.node)?, |ledger| {
            ledger.packages.retain(|name| !packages.contains(name));
        })
        .await
}

/// Masks units until the next boot, whether they exist already or not.
async fn mask(step: &Step, run: &Run, units: &[String]) -> Result<(), StepError> {
    if units.is_empty() {
        return Ok(());
    }
    let argv =
        ["systemctl", "mask", "--runtime", "--"].into_iter().map(str::to_owned).chain(units.iter().cloned());
    let command = Command::new(argv).timeout(MASK_TIMEOUT);
    run.must(&step.node, &command, "see what systemctl says on the node").await.map(|_| ())
}

/// Finishes what a killed run left unpacked but not configured. Does nothing on a healthy system.
async fn mend(step: &Step, run: &Run) -> Result<(), StepError> {
    let command = apt(&["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"]);
    let deadline = tokio::time::Instant::now() + LISTS_LOCK_WAIT;
    loop {
        let output = run.exec(&step.node, &command).await?;
        if output.status.success() {
            return Ok(());
        }
        // dpkg does not wait for its lock as apt does.
        if !tail(&output).contains("lock") || tokio::time::Instant::now() >= deadline {
            return Err(refused(&output, &[]));
        }
        waiting(step, run, &output);
        tokio::time::sleep(LISTS_LOCK_INTERVAL).await;
    }
}

/// What apt would do, without doing it.
fn simulation(packages: &[String]) -> Command {
    apt_get(&["install", "--simulate", "--no-install-recommends"], packages.iter().map(String::as_str))
}

/// Reads the package lists; apt does not wait for this lock itself. A source that does not answer is a warning only, in
/// what is returned.
async fn update(step: &Step, run: &Run) -> Result<Output, StepError> {
    let deadline = tokio::time::Instant::now() + LISTS_LOCK_WAIT;
    loop {
        let output = run.exec(&step.node, &apt(&["apt-get", "-q", "update"])).await?;
        if output.status.success() {
            return Ok(output);
        }
        if !tail(&output).contains(LOCKED) || tokio::time::Instant::now() >= deadline {
            return Err(refused(&output, &[]));
        }
        waiting(step, run, &output);
        tokio::time::sleep(LISTS_LOCK_INTERVAL).await;
    }
}

fn waiting(step: &Step, run: &Run, output: &Output) {
    let text =
        format!("waiting for the package manager: {}", tail(output).lines().next().unwrap_or_default());
    run.events.emit(Event::StepProgress { step: step.id.clone(), node: step.node.clone(), text });
}

async fn checked(
    step: &Step,
    run: &Run,
    command: &Command,
    packages: &[String],
) -> Result<Output, StepError> {
    let output = run.exec(&step.node, command).await?;
    if output.status.success() { Ok(output) } else { Err(refused(&output, packages)) }
}

/// Whether apt complains that a source of packages does not answer.
fn is_unanswered(said: &str) -> bool {
    said.contains("Failed to fetch") || said.contains("Could not resolve")
}

/// What apt's refusal means, and what to do.
fn refused(output: &Output, packages: &[String]) -> StepError {
    let said = tail(output);
    let advice = if said.contains(LOCKED) || said.contains("lock-frontend") {
        "another process uses the package manager: let it finish (or end it), then run again"
    } else if said.contains("Unable to locate package") || said.contains("has no installation candidate") {
        "the node's package sources do not carry it: correct /etc/apt/sources.list, then run again"
    } else if said.contains("No space left") || said.contains("don't have enough free space") {
        "make room on the node, then run again: what is half done is finished then"
    } else if is_unanswered(&said) {
        SOURCES_DO_NOT_ANSWER
    } else {
        "see what the package manager says on the node, then run again: what is half done is finished then"
    };
    let what = if packages.is_empty() { String::new() } else { format!(" ({})", packages.join(" ")) };
    StepError::failed(format!("the package manager failed{what} with {}: {said}", output.status), advice)
}

/// The packages that `apt-get --simulate install` says it would install and that are absent now: `Inst NAME (…`;
/// an upgrade has the present version in brackets before the parenthesis.
fn newly_installed(simulation: &str) -> Vec<String> {
    simulation
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "))
        .filter_map(|rest| rest.split_once(' '))
        .filter(|(_, rest)| !rest.starts_with('['))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_new_packages_from_upgraded_ones() {
        let simulation = "NOTE: This is only a simulation!\n\
            Inst libknet1 (1.25-1 Debian:12 [amd64])\n\
            Inst bash [5.2-1] (5.2-2 Debian:12 [amd64])\n\
            Inst corosync (3.1.7-1+deb12u1 Debian:12 [amd64]) []\n\
            Conf corosync (3.1.7-1+deb12u1 Debian:12 [amd64])\n";
        assert_eq!(newly_installed(simulation), ["libknet1", "corosync"]);
    }
}
