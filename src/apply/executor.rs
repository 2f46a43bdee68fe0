//! Carries out the steps of a plan: each when those before it are done, one at a time on a node, first what most waits
//! for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::MutexGuard;

use super::guard::check_guard;
use super::perform::perform;
use super::prove::prove;
use super::run::{Run, StepError};
use super::{Event, Failure, LedgerStore, Outcome, Phase, StepResult, journal};
use crate::names::NodeName;
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
    let mut busy: BTreeSet<&NodeName> = BTreeSet::new();
    let mut running = FuturesUnordered::new();
    let mut cancel = run.cancel.clone();
    by_chain(&mut waiting);
    loop {
        outcome.interrupted |= *cancel.borrow();
        let mut still = Vec::new();
        for step in waiting {
            let held_back = outcome.interrupted
                || (!outcome.failed.is_empty() && step.risk != Risk::Safe)
                || (outcome.looked < looks.len() && !looks.contains(&step.id));
            let ready = !held_back && step.after.iter().all(|id| done.contains(id));
            if ready && (is_wait(step) || busy.insert(&step.node)) {
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
            Some((step, result)) = running.next() => {
                if !is_wait(step) {
                    busy.remove(&step.node);
                }
                match result {
                    Ok(()) => {
                        done.insert(&step.id);
                        outcome.looked += usize::from(looks.contains(&step.id));
                        outcome.done.push(step.id.clone());
                    }
                    Err(error) => outcome.failed.push(failure(step, error, run)),
                }
            }
            // Nothing new is begun after an interruption; what runs is brought to its end.
            changed = cancel.changed(), if !outcome.interrupted && !*run.cancel.borrow() => {
                outcome.interrupted |= changed.is_ok() && *run.cancel.borrow();
            }
        }
    }
    let begun: BTreeSet<&StepId> =
        outcome.done.iter().chain(outcome.failed.iter().map(|it| &it.step)).collect();
    outcome.not_begun =
        plan.steps.iter().map(|step| &step.id).filter(|id| !begun.contains(id)).cloned().collect();
    run.events.emit(Event::PhaseFinished { phase: Phase::Apply, took: began.elapsed() });
    outcome
}

/// Steps for which most others wait, one behind the other, come first: where several could be next on a node, the
/// one is taken that keeps the whole run waiting longest. Otherwise as planned.
fn by_chain(steps: &mut [&Step]) {
    let mut chain: BTreeMap<&StepId, usize> = BTreeMap::new();
    // A plan names every step after those that it comes after.
    for step in steps.iter().rev() {
        let own = *chain.entry(&step.id).or_insert(0);
        for before in &step.after {
            let longest = chain.entry(before).or_insert(0);
            *longest = (*longest).max(own + 1);
        }
    }
    steps.sort_by_key(|step| std::cmp::Reverse(chain.get(&step.id).copied().unwrap_or(0)));
}

/// A wait changes nothing, so it does not keep other steps from the node.
fn is_wait(step: &Step) -> bool {
    matches!(step.action, Action::Wait { .. })
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
    // Steps are only begun on a node that is free; the lock holds what a step may change there.
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
