//! From a plan to its outcome, for the verbs that change nodes: show, ask, apply, tell.

use serde_json::json;

use super::confirm::Approval;
use super::error::outcome_code;
use super::opened::Opened;
use super::{CommandError, Console, ExitCode, Interrupt};
use crate::apply::{Failure, Locks, Outcome};
use crate::plan::{Plan, StepId};
use crate::ui::outcome_text;

/// Version of the document that `apply --json` prints.
const OUTCOME_FORMAT: u32 = 1;

/// How a plan is carried out.
pub(super) struct Manner<'a> {
    /// The question before it.
    pub(super) question: &'a str,
    /// Whether it is answered already, and whether the outcome is printed as JSON (and the plan not at all).
    pub(super) approval: Approval,
}

/// Shows the plan, asks, carries it out and tells what came of it.
///
/// # Errors
/// The answer is no, the plan is blocked, or it could not be begun. What became of its steps is in the exit code.
pub(super) async fn carry_out(
    plan: &Plan,
    opened: &Opened,
    locks: &Locks,
    manner: &Manner<'_>,
    console: &Console,
) -> Result<ExitCode, CommandError> {
    opened.progress.finish();
    if !plan.blocked.is_empty() {
        return Err(opened.blocked(plan, manner.approval.json, console)?);
    }
    if !manner.approval.json {
        opened.show(plan, console)?;
    }
    if plan.steps.is_empty() {
        return finished(&Outcome::default(), opened, manner, console);
    }
    manner.approval.confirm(manner.question)?;
    let interrupt = Interrupt::watch(std::sync::Arc::clone(&opened.progress))?;
    interrupt.also_when_lost(locks.lost());
    let outcome = opened.session.apply(plan, interrupt.receiver()).await;
    opened.progress.finish();
    let outcome = outcome.map_err(|error| CommandError::from(error).log(&opened.log))?;
    let log = opened.log.exists().then_some(opened.log.as_path());
    let text = outcome_text(&outcome, opened.progress.elapsed(), log, console.err());
    if outcome.complete() {
        console.say(&text);
    } else {
        console.tell(&text);
    }
    finished(&outcome, opened, manner, console)
}

fn finished(
    outcome: &Outcome,
    opened: &Opened,
    manner: &Manner<'_>,
    console: &Console,
) -> Result<ExitCode, CommandError> {
    if manner.approval.json {
        console.json(&document(outcome, opened.log.as_str()))?;
    }
    Ok(outcome_code(outcome))
}

/// The outcome for programs.
fn document(outcome: &Outcome, log: &str) -> serde_json::Value {
    let names = |steps: &[StepId]| steps.iter().map(StepId::to_string).collect::<Vec<_>>();
    let failure = |failure: &Failure| {
        json!({
            "step": failure.step.as_str(),
            "node": failure.node.as_str(),
            "attempted": failure.attempted,
            "reason": failure.reason,
            "advice": failure.advice,
        })
    };
    json!({
        "format": OUTCOME_FORMAT,
        "complete": outcome.complete(),
        "interrupted": outcome.interrupted,
        "done": names(&outcome.done),
        "failed": outcome.failed.iter().map(failure).collect::<Vec<_>>(),
        "not_begun": names(&outcome.not_begun),
        "log": log,
    })
}
