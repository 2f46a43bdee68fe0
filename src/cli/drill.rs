//! `hactl verify --drill failover`: cuts a node's power and shows what users noticed.

use std::sync::Arc;

use super::confirm::Approval;
use super::opened::Opened;
use super::verify::VerifyArgs;
use super::{CommandError, Console, ExitCode, GlobalArgs, Interrupt};
use crate::pipeline::{Drill, DrillError};
use crate::ui::{Detail, drill_text, verify_text};

/// Verifies, chooses, asks, drills, tells.
///
/// # Errors
/// The inventory is wrong, a node cannot be asked, another run is at work, something speaks against the drill, or the
/// answer is no.
pub(super) async fn run(
    arguments: &VerifyArgs,
    console: &Console,
    global: &GlobalArgs,
) -> Result<ExitCode, CommandError> {
    let approval = Approval { yes: arguments.yes, json: arguments.json };
    approval.answerable(console, &arguments.inventory)?;
    let mut opened = Opened::open("verify", &arguments.inventory, &arguments.nodes, console, global).await?;
    opened.session.all_answered().map_err(|error| opened.refused(error))?;
    let _locks = opened.session.lock().await.map_err(|error| opened.refused(error))?;
    let wanted = arguments.drill_target.as_deref();
    let prepared = opened.session.prepare_drill(wanted, arguments.patience).await;
    let drill = prepared.map_err(|error| failed(error, &opened, console))?;
    opened.progress.finish();
    console.tell(&announcement(&drill));
    approval.confirm(&format!("Cut the power of {} now?", drill.target.victim))?;

    let interrupt = Interrupt::watch(Arc::clone(&opened.progress))?;
    let drilled = opened.session.drill(&drill, interrupt.receiver()).await;
    let report = drilled.map_err(|error| failed(error, &opened, console))?;
    opened.progress.finish();
    if arguments.json {
        console.json(&report)?;
    } else {
        console.result(&drill_text(&report, console.detail() > Detail::Normal, console.out()))?;
    }
    Ok(if report.survived() { ExitCode::Done } else { ExitCode::Unverified })
}

/// What is about to happen.
fn announcement(drill: &Drill) -> String {
    let target = &drill.target;
    let mut measured = Vec::new();
    measured.extend(target.mount.as_ref().map(|mount| format!("records written to {}", mount.directory)));
    measured.extend(
        target
            .address
            .as_ref()
            .filter(|_| target.ask.is_some())
            .map(|address| format!("requests to {address}")),
    );
    format!(
        "Failover drill of {} in cluster {}: {} will have the power of {} cut by the cluster's fencing.\n\
         Everything that runs on {} is away until it runs elsewhere. Measured by {}.\n",
        target.group,
        drill.cluster,
        drill.fencer,
        target.victim,
        target.victim,
        measured.join(" and ")
    )
}

fn failed(error: DrillError, opened: &Opened, console: &Console) -> CommandError {
    opened.progress.finish();
    let words = error.to_string();
    match error {
        DrillError::Unclean(report) => {
            console.tell(&verify_text(&report, false, console.err()));
            CommandError::new(ExitCode::Blocked, words).advice("see to that first (hactl apply)").unchanged()
        }
        DrillError::Refused(_) => CommandError::new(ExitCode::Blocked, words).unchanged().log(&opened.log),
        DrillError::NotMeasurable(_) => CommandError::new(ExitCode::Unverified, words).log(&opened.log),
        DrillError::Pipeline(error) => opened.failed(error),
        DrillError::Transport(error) => CommandError::from(error).log(&opened.log),
        DrillError::Interrupted { .. } => CommandError::new(ExitCode::Interrupted, words),
    }
}
