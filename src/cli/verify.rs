//! `hactl verify`: proves that the cluster does what the inventory says.

use std::time::Duration;

use super::nodes::{NodeArgs, duration};
use super::opened::Opened;
use super::{CommandError, Console, ExitCode, GlobalArgs, InventoryArgs, drill};
use crate::ui::{Detail, verify_text};
use crate::verify::VerifyReport;

/// How long a cluster that was just changed may take until everything holds.
const PATIENCE_AFTER_APPLY: Duration = Duration::from_secs(120);

/// Arguments of `hactl verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Print the report as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Try again for this long what does not hold yet
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub(super) patience: Duration,
    /// Then cut the power of the node that has the service, through the cluster's own fencing, and measure what users
    /// notice: the downtime, and that no acknowledged write is lost
    #[arg(long, value_name = "DRILL")]
    drill: Option<DrillKind>,
    /// Drill this group (needed when several could be)
    #[arg(long, value_name = "GROUP", requires = "drill")]
    pub(super) drill_target: Option<String>,
    /// Do not ask before the drill (overrides no refusal)
    #[arg(short, long, requires = "drill")]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) inventory: InventoryArgs,
    #[command(flatten)]
    pub(super) nodes: NodeArgs,
}

/// What is tried out on a running cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DrillKind {
    /// A node is lost
    Failover,
}

/// Makes every check and shows what came of it.
///
/// # Errors
/// The inventory is wrong or a node cannot be asked.
pub(super) async fn run(
    arguments: &VerifyArgs,
    console: &Console,
    global: &GlobalArgs,
) -> Result<ExitCode, CommandError> {
    if let Some(DrillKind::Failover) = arguments.drill {
        return drill::run(arguments, console, global).await;
    }
    let mut opened = Opened::open("verify", &arguments.inventory, &arguments.nodes, console, global).await?;
    let report = opened.session.verify(arguments.patience).await.map_err(|error| opened.failed(error))?;
    opened.progress.finish();
    if arguments.json {
        console.json(&report)?;
    } else {
        console.result(&verify_text(&report, console.detail() > Detail::Quiet, console.out()))?;
    }
    Ok(code(&report))
}

/// The same after an apply, told on stderr: the result of that is its outcome.
///
/// # Errors
/// A node cannot be asked any more.
pub(super) async fn after_apply(opened: &mut Opened, console: &Console) -> Result<ExitCode, CommandError> {
    let report = opened.session.verify(PATIENCE_AFTER_APPLY).await.map_err(|error| {
        let error = opened.failed(error);
        CommandError::new(ExitCode::Unverified, "applied, but it could not be verified").because(&error)
    })?;
    opened.progress.finish();
    let text = verify_text(&report, console.detail() > Detail::Normal, console.err());
    if report.holds() {
        console.say(&text);
    } else {
        console.tell(&text);
        console.tell(&format!("Log of every command: {}\n", opened.log));
    }
    Ok(code(&report))
}

fn code(report: &VerifyReport) -> ExitCode {
    if report.holds() { ExitCode::Done } else { ExitCode::Unverified }
}
