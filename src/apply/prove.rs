//! Waits until a check holds: the proof of a step, or the goal of a wait.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::Event;
use super::run::{Run, StepError};
use crate::discovery::ask;
use crate::facts::Observation;
use crate::plan::{Check, Step};

/// How long a finished action has to show its effect.
pub(super) const PROOF_LIMIT: Duration = Duration::from_secs(15);
/// How long it is waited at least before a condition is looked at again.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Waits until the check holds on the step's node.
///
/// # Errors
/// It does not hold in time (the reason says what is missing), or the node could not be asked.
pub(super) async fn prove(check: &Check, step: &Step, run: &Run, limit: Duration) -> Result<(), StepError> {
    let queries: BTreeSet<_> = check.queries();
    if queries.is_empty() {
        return Ok(());
    }
    let transport = run.transport(&step.node)?;
    let began = Instant::now();
    let mut said = String::new();
    loop {
        let asked = Instant::now();
        let seen = ask(transport.as_ref(), &queries).await?;
        let observe = |query: &_| {
            seen.get(query).cloned().unwrap_or_else(|| Observation::Unknown("no answer".to_owned()))
        };
        let Err(missing) = check.judge(&observe) else { return Ok(()) };
        let waited = began.elapsed();
        if waited >= limit || *run.cancel.borrow() {
            let reason = format!("waited {} s until {check}: {missing}", waited.as_secs());
            return Err(StepError::failed(reason, "see the cluster's logs on the node, then run again"));
        }
        if missing != said {
            said.clone_from(&missing);
            run.events.emit(Event::StepProgress {
                step: step.id.clone(),
                node: step.node.clone(),
                text: missing,
            });
        }
        // A slow node has at least as long to get on with it as it needs for the answer.
        tokio::time::sleep(POLL_INTERVAL.max(asked.elapsed())).await;
    }
}
