//! What every verb that contacts nodes begins with: the inventory, the connections, the facts.

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::InventoryArgs;
use super::nodes::NodeArgs;
use super::{CommandError, Console, ExitCode, GlobalArgs, inventory_error, log};
use crate::apply::EventSink;
use crate::names::{ClusterName, NodeName};
use crate::pipeline::{PipelineError, Session};
use crate::plan::Plan;
use crate::ui::PlanView;
use crate::ui::progress::Progress;

/// A run that has been opened.
pub(super) struct Opened {
    /// The run.
    pub(super) session: Session,
    /// What shows its progress.
    pub(super) progress: Arc<Progress>,
    /// Its log.
    pub(super) log: Utf8PathBuf,
}

impl Opened {
    /// Loads the inventory, connects to the nodes and learns what is always learned.
    ///
    /// # Errors
    /// The inventory is wrong, or the connections cannot be tried at all.
    pub(super) async fn open(
        verb: &str,
        inventory: &InventoryArgs,
        nodes: &NodeArgs,
        console: &Console,
        global: &GlobalArgs,
    ) -> Result<Self, CommandError> {
        let loaded = inventory.load_for(console)?;
        let log = log::path(global, verb)?;
        let progress = console.progress();
        let events = Arc::clone(&progress) as Arc<dyn EventSink>;
        let session = Session::open(loaded, nodes.options(Some(log.clone())), events).await;
        let session = session.map_err(|error| {
            progress.finish();
            match error {
                PipelineError::Inventory(mistakes) => inventory_error(&mistakes, console),
                other => with_log(CommandError::from(other), &log),
            }
        })?;
        Ok(Self { session, progress, log })
    }

    /// A failure of the run, with its log.
    pub(super) fn failed(&self, error: PipelineError) -> CommandError {
        self.progress.finish();
        with_log(CommandError::from(error), &self.log)
    }

    /// The same before the run has changed anything.
    pub(super) fn refused(&self, error: PipelineError) -> CommandError {
        self.failed(error).unchanged()
    }

    /// Which cluster each node of the inventory belongs to.
    pub(super) fn clusters(&self) -> BTreeMap<NodeName, ClusterName> {
        let clusters = self.session.inventory().clusters.values();
        clusters
            .flat_map(|cluster| cluster.nodes.keys().map(|node| (node.clone(), cluster.name.clone())))
            .collect()
    }

    /// The end of a run whose plan is blocked: what would be done goes to stdout (unless that is for a program), what
    /// stands in the way is the error.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub(super) fn blocked(
        &self,
        plan: &Plan,
        json: bool,
        console: &Console,
    ) -> Result<CommandError, CommandError> {
        let clusters = self.clusters();
        let mut view = PlanView { plan, clusters: &clusters, detail: console.detail(), theme: console.out() };
        if !json {
            console.result(&view.changes())?;
        }
        view.theme = console.err();
        Ok(CommandError::rendered(ExitCode::Blocked, view.refusals()))
    }

    /// Shows a plan on stdout.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub(super) fn show(&self, plan: &Plan, console: &Console) -> Result<(), CommandError> {
        let clusters = self.clusters();
        let view = PlanView { plan, clusters: &clusters, detail: console.detail(), theme: console.out() };
        console.result(&view.text())
    }
}

/// The error with the file to look into, if anything was asked of a node at all.
fn with_log(error: CommandError, log: &Utf8Path) -> CommandError {
    if log.is_file() { error.log(log) } else { error }
}
