//! `hactl validate`: is the inventory right, as far as that can be said without asking a node?
//!
//! In: an inventory. Out: a line that says so, or every mistake; exit code 0 or 3. Never contacts a node.

use camino::Utf8PathBuf;

use super::inventory_args::inventory_error;
use super::{CommandError, Console, ExitCode, InventoryArgs};
use crate::inventory::{Diagnostic, Inventory, LoadError, Loaded, schema, to_json};
use crate::ui::count;

/// Arguments of `hactl validate`.
#[derive(Debug, Clone, clap::Args)]
pub struct ValidateArgs {
    /// Which inventory.
    #[command(flatten)]
    pub inventory: InventoryArgs,
    /// Look for barclamps in this folder too (repeatable; they win over built-in ones of the same name)
    #[arg(long = "barclamps", value_name = "DIR")]
    pub barclamps: Vec<Utf8PathBuf>,
    /// Print the JSON Schema of inventories and do nothing else
    #[arg(long, conflicts_with_all = ["inventory", "variables", "json"])]
    pub schema: bool,
    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}

/// What is checked once the inventory is understood: the barclamps' own schemas, and references to what they provide.
pub type FurtherChecks<'a> = &'a dyn Fn(&Loaded) -> Vec<Diagnostic>;

/// Does it.
///
/// # Errors
/// The inventory is wrong (exit code 3, all mistakes told), or stdout cannot be written.
pub(super) fn run(
    arguments: &ValidateArgs,
    console: &Console,
    checks: FurtherChecks<'_>,
) -> Result<ExitCode, CommandError> {
    if arguments.schema {
        console.json(&schema())?;
        return Ok(ExitCode::Done);
    }
    let outcome = arguments.inventory.load().and_then(|loaded| {
        let mistakes = checks(&loaded);
        if mistakes.is_empty() { Ok(loaded) } else { Err(loaded.failure(mistakes)) }
    });
    match outcome {
        Ok(loaded) if arguments.json => {
            console.json(&to_json(&[], loaded.spans.sources()))?;
            Ok(ExitCode::Done)
        }
        Ok(loaded) => {
            console.result(&summary(&loaded.inventory))?;
            Ok(ExitCode::Done)
        }
        Err(LoadError { diagnostics, sources }) if arguments.json => {
            console.json(&to_json(&diagnostics, &sources))?;
            Err(CommandError::told(ExitCode::Usage))
        }
        Err(error) => Err(inventory_error(&error, console)),
    }
}

/// What there is, so that a person sees that the right files were read.
fn summary(inventory: &Inventory) -> String {
    let mut out = String::from("the inventory is valid\n");
    for cluster in inventory.clusters.values() {
        let barclamps: Vec<&str> = cluster.barclamps.keys().map(AsRef::as_ref).collect();
        let nodes: Vec<&str> = cluster.nodes.keys().map(AsRef::as_ref).collect();
        out.push_str(&format!(
            "  {}: {} ({}), {}, {}, {}{}\n",
            cluster.name,
            count(nodes.len(), "node"),
            nodes.join(" "),
            count(cluster.link_count(), "link"),
            count(cluster.resources.len(), "resource"),
            count(cluster.constraints.len(), "constraint"),
            if barclamps.is_empty() { String::new() } else { format!("; barclamps {}", barclamps.join(" ")) },
        ));
    }
    out
}
