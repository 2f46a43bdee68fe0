//! Looks at what a step's guard names, immediately before the step.

use super::run::{Run, StepError};
use crate::cib::Cib;
use crate::discovery::ask;
use crate::facts::{ClusterQuery, Observation, Query};
use crate::plan::{Guard, Step};

/// Whether the guard holds on the step's node.
///
/// # Errors
/// It does not hold, or it could not be looked at.
pub(super) async fn check_guard(guard: &Guard, step: &Step, run: &Run) -> Result<(), StepError> {
    let query = match guard {
        Guard::Always => return Ok(()),
        Guard::File { path, .. } => Query::File { path: path.clone(), text: false },
        Guard::Cib { .. } => Query::Cluster(ClusterQuery::Cib),
        Guard::Device(device) => return super::device::check(device, step, run).await,
    };
    let transport = run.transport(&step.node)?;
    let mut seen = ask(transport.as_ref(), &std::iter::once(query.clone()).collect()).await?;
    let seen = seen.remove(&query).unwrap_or_else(|| Observation::Unknown("no answer".to_owned()));
    judge(guard, &seen)
}

fn judge(guard: &Guard, seen: &Observation) -> Result<(), StepError> {
    match (guard, seen) {
        (_, Observation::Unknown(why)) => {
            Err(StepError::guard(format!("what was planned for could not be looked at: {why}")))
        }
        (Guard::File { path, digest }, Observation::File(state)) => {
            match (digest, state.as_ref().map(|state| &state.digest)) {
                (planned, now) if planned.as_ref() == now => Ok(()),
                (None, Some(_)) => Err(StepError::guard(format!("{path} appeared after the plan was made"))),
                (Some(_), None) => Err(StepError::guard(format!("{path} vanished after the plan was made"))),
                _ => Err(StepError::guard(format!("{path} was changed after the plan was made"))),
            }
        }
        (Guard::Cib { intent }, Observation::Text(Some(xml))) => {
            let live = Cib::parse(xml)
                .map_err(|error| StepError::guard(format!("the live CIB cannot be read: {error}")))?;
            if crate::cib::intent_digest(&live) == *intent {
                Ok(())
            } else {
                Err(StepError::guard("the CIB was changed after the plan was made"))
            }
        }
        (Guard::Cib { .. }, _) => Err(StepError::guard("Pacemaker does not run on this node")),
        (Guard::Always | Guard::Device(_), _) => Ok(()),
        (Guard::File { path, .. }, _) => Err(StepError::guard(format!("{path} was not looked at as a file"))),
    }
}
