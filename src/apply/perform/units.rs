//! systemd units.

use std::time::Duration;

use crate::apply::LedgerStore;
use crate::apply::run::{Run, StepError, tail};
use crate::discovery::ask;
use crate::facts::{Observation, OwnedUnit, Query};
use crate::plan::{Step, UnitVerb};
use crate::transport::Command;

/// How long systemctl may take: Pacemaker stops its resources before it stops.
const UNIT_TIMEOUT: Duration = Duration::from_secs(300);
/// Keeps `systemctl enable` and `disable` from the links of init scripts, which say nothing about a unit that has a file of its
/// own, and which take Debian several times as long as all the rest: systemd is told to read everything anew for each
/// (docs/ENVIRONMENT.md of systemd).
const WITHOUT_INIT_SCRIPTS: [&str; 2] = ["env", "SYSTEMCTL_SKIP_SYSV=1"];
/// Lines of the unit's own log that an error shows.
const SHOWN_LOG_LINES: &str = "8";

/// Carries out [`crate::plan::Action::Unit`].
///
/// # Errors
/// systemd refused or the unit failed; the reason holds the end of its log.
pub(super) async fn change(
    step: &Step,
    run: &Run,
    ledger: &mut LedgerStore,
    unit: &str,
    verb: UnitVerb,
) -> Result<(), StepError> {
    remember(step, run, ledger, unit, verb).await?;
    let mut argv = vec!["systemctl", verb.word()];
    if verb == UnitVerb::Unmask {
        argv.push("--runtime");
    }
    argv.extend(["--", unit]);
    if matches!(verb, UnitVerb::Enable | UnitVerb::Disable) {
        let argv = WITHOUT_INIT_SCRIPTS.iter().chain(&argv).copied();
        if run.exec(&step.node, &Command::new(argv).timeout(UNIT_TIMEOUT)).await?.status.success() {
            return Ok(());
        }
        // A unit that only an init script brings, or one that cannot be: asked again, systemctl does it or says why not.
    }
    let output = run.exec(&step.node, &Command::new(argv).timeout(UNIT_TIMEOUT)).await?;
    if output.status.success() {
        return Ok(());
    }
    let log =
        Command::new(["journalctl", "--no-pager", "-q", "-o", "cat", "-n", SHOWN_LOG_LINES, "-u", unit]);
    let log = run.exec(&step.node, &log).await?;
    let reason =
        format!("`systemctl {} {unit}`: {}\n{}", verb.word(), tail(&output), log.stdout_text().trim_end());
    Err(StepError::failed(reason, format!("see `journalctl -u {unit}` on {}, then run again", step.node)))
}

/// Has systemd read its unit files again.
///
/// # Errors
/// systemd refused.
pub(super) async fn reload_unit_files(step: &Step, run: &Run) -> Result<(), StepError> {
    let command = Command::new(["systemctl", "daemon-reload"]).timeout(UNIT_TIMEOUT);
    run.must(&step.node, &command, "see `journalctl -b` on the node, then run again").await.map(|_| ())
}

/// Records what the unit was before hactl first changed it, so that destroy can put it back.
async fn remember(
    step: &Step,
    run: &Run,
    ledger: &mut LedgerStore,
    unit: &str,
    verb: UnitVerb,
) -> Result<(), StepError> {
    if matches!(verb, UnitVerb::Unmask | UnitVerb::Reload | UnitVerb::Restart)
        || ledger.ledger().units.contains_key(unit)
    {
        return Ok(());
    }
    let transport = run.transport(&step.node)?;
    let query = Query::Unit { name: unit.to_owned() };
    let seen = ask(transport.as_ref(), &std::iter::once(query.clone()).collect()).await?;
    match seen.get(&query) {
        Some(Observation::Unit(state)) => {
            let before =
                OwnedUnit { was: state.unit_file_state.clone(), was_active: state.active_state.clone() };
            ledger.own_unit(transport.as_ref(), run.cluster_of(&step.node)?, unit, before).await
        }
        other => {
            let reason = format!("the state of {unit} could not be learned: {other:?}");
            Err(StepError::failed(reason, "see what `systemctl status` says on the node, then run again"))
        }
    }
}
