//! `hactl apply [PLAN]`: makes the nodes what the inventory says.

use camino::Utf8PathBuf;

use super::InventoryArgs;
use super::carry_out::{Manner, carry_out};
use super::confirm::Approval;
use super::nodes::NodeArgs;
use super::opened::Opened;
use super::{CommandError, Console, ExitCode, GlobalArgs, saved_plan, verify};

/// Arguments of `hactl apply`.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    /// Carry out this plan, saved by `hactl plan --output`, if it is still what is needed
    #[arg(value_name = "PLAN")]
    plan: Option<Utf8PathBuf>,
    #[command(flatten)]
    approval: Approval,
    /// Do not look again afterwards whether the cluster does what the inventory says
    #[arg(long)]
    no_verify: bool,
    #[command(flatten)]
    inventory: InventoryArgs,
    #[command(flatten)]
    pub(super) nodes: NodeArgs,
}

/// What is asked before anything is changed.
const QUESTION: &str = "Carry out this plan?";

/// Plans under the lock, shows, asks, applies, verifies.
///
/// # Errors
/// The inventory or the saved plan is wrong or stale, a node cannot be asked, another run is at work, the plan is
/// blocked, or the answer is no.
pub(super) async fn run(
    arguments: &ApplyArgs,
    console: &Console,
    global: &GlobalArgs,
) -> Result<ExitCode, CommandError> {
    arguments.approval.answerable(console, &arguments.inventory)?;
    let saved = arguments.plan.as_deref().map(saved_plan::load).transpose()?;
    let mut opened = Opened::open("apply", &arguments.inventory, &arguments.nodes, console, global).await?;
    opened.session.all_answered().map_err(|error| opened.refused(error))?;
    let locks = opened.session.lock().await.map_err(|error| opened.refused(error))?;
    let plan = opened.session.plan().await.map_err(|error| opened.refused(error))?;
    if let Some(saved) = &saved {
        opened.progress.finish();
        saved_plan::check_current(saved, &plan)?;
    }
    let manner = Manner { question: QUESTION, approval: arguments.approval };
    let code = carry_out(&plan, &opened, &locks, &manner, console).await?;
    if code != ExitCode::Done || arguments.no_verify {
        return Ok(code);
    }
    verify::after_apply(&mut opened, console).await
}
