//! `hactl destroy`: takes the cluster down and removes what hactl made, and nothing else.

use super::carry_out::{Manner, carry_out};
use super::confirm::Approval;
use super::nodes::NodeArgs;
use super::opened::Opened;
use super::{CommandError, Console, ExitCode, GlobalArgs, InventoryArgs};

/// Arguments of `hactl destroy`.
#[derive(Debug, clap::Args)]
pub struct DestroyArgs {
    #[command(flatten)]
    approval: Approval,
    #[command(flatten)]
    inventory: InventoryArgs,
    #[command(flatten)]
    pub(super) nodes: NodeArgs,
}

/// Plans the end of the cluster under the lock, shows, asks, carries it out.
///
/// # Errors
/// The inventory is wrong, a node cannot be asked, another run is at work, the plan is blocked, or the answer is no.
pub(super) async fn run(
    arguments: &DestroyArgs,
    console: &Console,
    global: &GlobalArgs,
) -> Result<ExitCode, CommandError> {
    arguments.approval.answerable(console, &arguments.inventory)?;
    let mut opened = Opened::open("destroy", &arguments.inventory, &arguments.nodes, console, global).await?;
    opened.session.all_answered().map_err(|error| opened.refused(error))?;
    let locks = opened.session.lock().await.map_err(|error| opened.refused(error))?;
    let plan = opened.session.destroy_plan().await.map_err(|error| opened.refused(error))?;
    if plan.is_empty() && plan.blocked.is_empty() && !arguments.approval.json {
        locks.forget().await;
        opened.progress.finish();
        console.result("Nothing to do: hactl owns nothing on these nodes.\n")?;
        return Ok(ExitCode::Done);
    }
    let question = "Stop the cluster and remove all of this?";
    let manner = Manner { question, approval: arguments.approval };
    let code = carry_out(&plan, &opened, &locks, &manner, console).await?;
    if code == ExitCode::Done {
        locks.forget().await;
    }
    Ok(code)
}
