//! `hactl drift`: what differs and who probably changed it; changes nothing.

use serde_json::json;

use super::nodes::NodeArgs;
use super::opened::Opened;
use super::{CommandError, Console, ExitCode, GlobalArgs, InventoryArgs};
use crate::plan::{Blocked, origins};
use crate::ui::{Detail, drift_text};

/// Version of the document that `drift --json` prints.
const DRIFT_FORMAT: u32 = 1;

/// Arguments of `hactl drift`.
#[derive(Debug, clap::Args)]
pub struct DriftArgs {
    /// Print the differences as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    inventory: InventoryArgs,
    #[command(flatten)]
    pub(super) nodes: NodeArgs,
}

/// Compares and shows.
///
/// # Errors
/// The inventory is wrong, a node cannot be asked, or something could not be judged (which is told).
pub(super) async fn run(
    arguments: &DriftArgs,
    console: &Console,
    global: &GlobalArgs,
) -> Result<ExitCode, CommandError> {
    let mut opened = Opened::open("drift", &arguments.inventory, &arguments.nodes, console, global).await?;
    let plan = opened.session.plan().await.map_err(|error| opened.failed(error))?;
    opened.progress.finish();
    let groups = origins(&plan, opened.session.facts());
    if arguments.json {
        console.json(&json!({ "format": DRIFT_FORMAT, "differences": groups, "unclear": plan.blocked }))?;
    } else {
        console.result(&drift_text(&groups, console.detail() > Detail::Quiet, console.out()))?;
    }
    if !plan.blocked.is_empty() {
        let problem =
            |blocked: &Blocked| format!("cannot be judged: {}: {}", blocked.resource, blocked.reason);
        return Err(CommandError::all(ExitCode::Blocked, plan.blocked.iter().map(problem).collect()));
    }
    Ok(if groups.is_empty() { ExitCode::Done } else { ExitCode::Differences })
}
