//! `hactl claims list|release`: which devices the nodes' ledgers say are claimed, and the end of a claim.

use super::carry_out::{Manner, carry_out};
use super::confirm::Approval;
use super::nodes::NodeArgs;
use super::opened::Opened;
use super::{CommandError, Console, ExitCode, GlobalArgs, InventoryArgs};
use crate::names::NodeName;
use crate::pipeline::ClaimList;
use crate::ui::claims_text;

/// Arguments of `hactl claims`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct ClaimsArgs {
    /// What to do with them.
    #[command(subcommand)]
    verb: ClaimsVerb,
}

/// What can be done with claims.
#[derive(Debug, clap::Subcommand)]
enum ClaimsVerb {
    /// Show every claimed device: node, purpose, identity, size; changes nothing
    List(ListArgs),
    /// Forget a claim; what is on the device stays, and the next plan looks at it as at any other
    Release(ReleaseArgs),
}

/// Arguments of `hactl claims list`.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Print the claims as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    inventory: InventoryArgs,
    #[command(flatten)]
    nodes: NodeArgs,
}

/// Arguments of `hactl claims release`.
#[derive(Debug, clap::Args)]
struct ReleaseArgs {
    /// The node whose ledger forgets it
    #[arg(value_name = "NODE")]
    node: NodeName,
    /// What the device was claimed for, as `hactl claims list` shows it: `filesystem:data`
    #[arg(value_name = "PURPOSE")]
    purpose: String,
    #[command(flatten)]
    approval: Approval,
    #[command(flatten)]
    inventory: InventoryArgs,
    #[command(flatten)]
    nodes: NodeArgs,
}

impl ClaimsArgs {
    /// Longest time for the whole run, if there is one.
    pub(super) fn time_limit(&self) -> Option<std::time::Duration> {
        match &self.verb {
            ClaimsVerb::List(arguments) => arguments.nodes.time_limit(),
            ClaimsVerb::Release(arguments) => arguments.nodes.time_limit(),
        }
    }
}

/// Lists or releases.
///
/// # Errors
/// The inventory is wrong, a node cannot be asked, there is no such claim, another run is at work, or the answer is no.
pub(super) async fn run(
    arguments: &ClaimsArgs,
    console: &Console,
    global: &GlobalArgs,
) -> Result<ExitCode, CommandError> {
    match &arguments.verb {
        ClaimsVerb::List(arguments) => list(arguments, console, global).await,
        ClaimsVerb::Release(arguments) => release(arguments, console, global).await,
    }
}

async fn list(
    arguments: &ListArgs,
    console: &Console,
    global: &GlobalArgs,
) -> Result<ExitCode, CommandError> {
    let opened = Opened::open("claims", &arguments.inventory, &arguments.nodes, console, global).await?;
    let list = opened.session.claim_list();
    opened.progress.finish();
    if arguments.json {
        console.json(&list)?;
    } else {
        console.result(&claims_text(&list, console.out()))?;
    }
    Ok(code(&list))
}

/// What could not be asked is told in the list, and by the exit code.
fn code(list: &ClaimList) -> ExitCode {
    if list.nodes.iter().any(|node| node.unreachable) {
        ExitCode::Unreachable
    } else if list.nodes.iter().any(|node| node.problem.is_some()) {
        ExitCode::Failed
    } else {
        ExitCode::Done
    }
}

async fn release(
    arguments: &ReleaseArgs,
    console: &Console,
    global: &GlobalArgs,
) -> Result<ExitCode, CommandError> {
    arguments.approval.answerable(console, &arguments.inventory)?;
    let mut opened = Opened::open("claims", &arguments.inventory, &arguments.nodes, console, global).await?;
    let known = opened.clusters();
    if !known.contains_key(&arguments.node) {
        opened.progress.finish();
        let names = known.keys().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
        let problem = format!("`{}` is no node of the inventory", arguments.node);
        return Err(CommandError::new(ExitCode::Usage, problem).advice(format!("its nodes are {names}")));
    }
    opened.session.all_answered().map_err(|error| opened.refused(error))?;
    let locks = opened.session.lock().await.map_err(|error| opened.refused(error))?;
    let plan = opened
        .session
        .release_plan(&arguments.node, &arguments.purpose)
        .map_err(|error| opened.refused(error))?;
    let question = "Forget this claim?";
    let manner = Manner { question, approval: arguments.approval };
    carry_out(&plan, &opened, &locks, &manner, console).await
}
