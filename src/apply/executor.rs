//! Carries out the steps of a plan: each when those before it are done, one at a time on a node.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::MutexGuard;

use super::guard::check_guard;
use super::perform::perform;
use super::prove::prove;
use super::run::{Run, StepError};
use super::{Event, Failure, LedgerStore, Outcome, Phase, StepResult, journal};
use crate::plan::{Action, Plan, Risk, Step, StepId};

/// Executes the plan. What only looks comes first, on all nodes: unless all of it holds, nothing is changed. Later, steps
/// that do not depend on a failed one are still done, unless they disturb something.
pub async fn execute(plan: &Plan, run: &Run) -> Outcome {
    let began = Instant::now();
    run.events.emit(Event::PhaseStarted { phase: Phase::Apply, total: plan.steps.len() });
    let mut outcome = Outcome::default();
    let mut waiting: Vec<&Step> = plan.steps.iter().collect();
    let looks: BTreeSet<&StepId> =
        plan.steps.iter().filter(|step| step.action.only_looks()).map(|step| &step.id).collect();
    let mut done: BTreeSet<&StepId> = BTreeSet::new();
    let mut running = FuturesUnordered::new();
    let mut cancel = run.cancel.clone();
    loop {
        outcome.interrupted |= *cancel.borrow();
        let mut still = Vec::new();
        for step in waiting {
            let held_back = outcome.interrupted
                || (!outcome.failed.is_empty() && step.risk != Risk::Safe)
                || (outcome.looked < looks.len() && !looks.contains(&step.id));
            if !held_back && step.after.iter().all(|id| done.contains(id)) {
                running.push(carry_out(step, run));
            } else {
                still.push(step);
            }
        }
        waiting = still;
        if running.is_empty() {
            break;
        }
        tokio::select! {
            Some((step, result)) = running.next() => match result {
                Ok(()) => {
                    done.insert(&step.id);
                    outcome.looked += usize::from(looks.contains(&step.id));
                    outcome.done.push(step.id.clone());
                }
                Err(error) => outcome.failed.push(failure(step, error, run)),
            },
            // Nothing new is begun after an interruption; what runs is brought to its end.
            changed = cancel.changed(), if !outcome.interrupted && !*run.cancel.borrow() => {
                outcome.interrupted |= changed.is_ok() && *run.cancel.borrow();
            }
        }
    }
    outcome.not_begun = waiting.into_iter().map(|step| step.id.clone()).collect();
    run.events.emit(Event::PhaseFinished { phase: Phase::Apply, took: began.elapsed() });
    outcome
}

fn failure(step: &Step, error: StepError, run: &Run) -> Failure {
    Failure {
        step: step.id.clone(),
        node: step.node.clone(),
        attempted: step.action.to_string(),
        reason: run.secrets.hide(&error.reason),
        advice: error.advice,
        kind: error.kind,
        looked: step.action.only_looks(),
    }
}

async fn carry_out<'a>(step: &'a Step, run: &Run) -> (&'a Step, Result<(), StepError>) {
    let what = step.action.to_string();
    // A wait changes nothing, so it does not keep other steps from the node. Waiting for one's turn is not the
    // step's own time.
    let turn = match (&step.action, run.ledgers.get(&step.node)) {
        (Action::Wait { .. }, _) | (_, None) => None,
        (_, Some(ledger)) => Some(ledger.lock().await),
    };
    let began = Instant::now();
    run.events.emit(started(step, &what));
    let result = attempt(step, run, turn).await;
    let shown = match &result {
        Ok(()) => StepResult::Done,
        Err(error) => StepResult::Failed(run.secrets.hide(&error.reason)),
    };
    run.events.emit(Event::StepFinished {
        step: step.id.clone(),
        node: step.node.clone(),
        what,
        result: shown,
        took: began.elapsed(),
    });
    (step, result)
}

async fn attempt(step: &Step, run: &Run, turn: Option<MutexGuard<'_, LedgerStore>>) -> Result<(), StepError> {
    if let Action::Wait { until, limit_s } = &step.action {
        return prove(until, step, run, Duration::from_secs(*limit_s)).await;
    }
    let Some(mut ledger) = turn else {
        return Err(StepError::failed(
            format!("{} does not belong to the run", step.node),
            "this is a defect of hactl",
        ));
    };
    check_guard(&step.guard, step, run).await?;
    perform(step, run, &mut ledger).await?;
    prove(&step.proof, step, run, super::prove::PROOF_LIMIT).await?;
    journal::note(step, run).await
}

fn started(step: &Step, what: &str) -> Event {
    Event::StepStarted { step: step.id.clone(), node: step.node.clone(), what: what.to_owned() }
}
