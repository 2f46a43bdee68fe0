//! `hactl status`: how the clusters are, on one screen.

use std::time::Duration;

use super::interrupt::Signals;
use super::nodes::{NodeArgs, duration};
use super::opened::Opened;
use super::{CommandError, Console, ExitCode, GlobalArgs, InventoryArgs};
use crate::ui::status_text;
use crate::verify::StatusReport;

/// Moves the cursor to the first line and empties the screen below it (ECMA-48: CUP, ED).
const HOME_AND_CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// Arguments of `hactl status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Ask again and again until interrupted
    #[arg(long)]
    watch: bool,
    /// How long to wait between two looks
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration, requires = "watch")]
    interval: Duration,
    /// Print the status as JSON; with --watch, one document per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    inventory: InventoryArgs,
    #[command(flatten)]
    pub(super) nodes: NodeArgs,
}

/// Asks and shows.
///
/// # Errors
/// The inventory is wrong, or no node answers.
pub(super) async fn run(
    arguments: &StatusArgs,
    console: &Console,
    global: &GlobalArgs,
) -> Result<ExitCode, CommandError> {
    // What moves on the screen is the status itself.
    let quiet = if arguments.watch { &console.silenced() } else { console };
    let mut opened = Opened::open("status", &arguments.inventory, &arguments.nodes, quiet, global).await?;
    let mut report = opened.session.status().await.map_err(|error| opened.failed(error))?;
    opened.progress.finish();
    if !arguments.watch {
        show(&report, arguments, console)?;
        return Ok(code(&report));
    }
    let mut signals = Signals::new()?;
    while show(&report, arguments, console)? {
        let next = async {
            tokio::time::sleep(arguments.interval).await;
            opened.session.status_again().await
        };
        report = tokio::select! {
            () = signals.next() => return Ok(ExitCode::Interrupted),
            report = next => report,
        };
    }
    Ok(ExitCode::Done)
}

/// Shows it; tells whether anybody still reads what is shown.
fn show(report: &StatusReport, arguments: &StatusArgs, console: &Console) -> Result<bool, CommandError> {
    match (arguments.json, arguments.watch) {
        (true, true) => console.json_line(report),
        (true, false) => console.json(report).map(|()| true),
        (false, true) if console.animated() => {
            console.result_is_read(&format!("{HOME_AND_CLEAR}{}", status_text(report, console.out())))
        }
        (false, true) => console.result_is_read(&format!("{}\n", status_text(report, console.out()))),
        (false, false) => console.result_is_read(&status_text(report, console.out())),
    }
}

/// A status that could be told is a success, whatever it says; a node that could not be asked is not.
fn code(report: &StatusReport) -> ExitCode {
    let unreachable =
        report.clusters.iter().flat_map(|cluster| &cluster.nodes).any(|node| node.unreachable.is_some());
    if unreachable { ExitCode::Unreachable } else { ExitCode::Done }
}
