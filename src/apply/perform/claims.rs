//! The ledger of claims.

use crate::apply::LedgerStore;
use crate::apply::run::{Run, StepError};
use crate::facts::ClaimEntry;
use crate::plan::Step;

/// Carries out [`crate::plan::Action::ClaimDevice`].
///
/// # Errors
/// The node could not write the ledger: nothing may be written to the device then.
pub(super) async fn claim(
    step: &Step,
    run: &Run,
    ledger: &mut LedgerStore,
    purpose: &str,
    entry: &ClaimEntry,
) -> Result<(), StepError> {
    let transport = run.transport(&step.node)?;
    // A node with a claim is a node of the cluster: so `destroy` finds it whatever else was done there.
    ledger.record(transport.as_ref(), run.cluster_of(&step.node)?, |_| ()).await?;
    ledger
        .record_claims(transport.as_ref(), |claims| {
            claims.insert(purpose.to_owned(), entry.clone());
        })
        .await
}

/// Carries out [`crate::plan::Action::ReleaseClaim`].
///
/// # Errors
/// The node could not write the ledger.
pub(super) async fn release(
    step: &Step,
    run: &Run,
    ledger: &mut LedgerStore,
    purpose: &str,
) -> Result<(), StepError> {
    let transport = run.transport(&step.node)?;
    ledger
        .record_claims(transport.as_ref(), |claims| {
            claims.remove(purpose);
        })
        .await
}
