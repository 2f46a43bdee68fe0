//! `hactl plan`: what would change; changes nothing.

use camino::Utf8PathBuf;

use super::InventoryArgs;
use super::nodes::NodeArgs;
use super::opened::Opened;
use super::{CommandError, Console, ExitCode, GlobalArgs, saved_plan};
use crate::plan::Plan;

/// Arguments of `hactl plan`.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    /// Save the plan for `hactl apply FILE`
    #[arg(short, long, value_name = "FILE")]
    output: Option<Utf8PathBuf>,
    /// Exit with 2 when there is something to do
    #[arg(long)]
    detailed_exitcode: bool,
    /// Print the plan as JSON, the same document that --output saves
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    inventory: InventoryArgs,
    #[command(flatten)]
    pub(super) nodes: NodeArgs,
}

/// Plans and shows.
///
/// # Errors
/// The inventory is wrong, a node cannot be asked, or the plan cannot be written.
pub(super) async fn run(
    arguments: &PlanArgs,
    console: &Console,
    global: &GlobalArgs,
) -> Result<ExitCode, CommandError> {
    let mut opened = Opened::open("plan", &arguments.inventory, &arguments.nodes, console, global).await?;
    let plan = opened.session.plan().await.map_err(|error| opened.failed(error))?;
    opened.progress.finish();
    if let Some(path) = &arguments.output {
        saved_plan::save(&plan, path)?;
        console.say(&format!("plan saved: hactl apply {path}\n"));
    }
    if arguments.json {
        console.json(&plan)?;
    } else {
        opened.show(&plan, console)?;
    }
    Ok(code(&plan, arguments.detailed_exitcode))
}

fn code(plan: &Plan, detailed: bool) -> ExitCode {
    match (plan.blocked.is_empty(), plan.steps.is_empty()) {
        (false, _) => ExitCode::Blocked,
        (true, false) if detailed => ExitCode::Differences,
        (true, _) => ExitCode::Done,
    }
}
