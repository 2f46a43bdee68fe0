//! One run: an inventory, the connections, and what was learned so far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tokio::sync::{Mutex, watch};

use super::{Options, PipelineError};
use crate::apply::{self, Event, EventSink, LedgerStore, Locks, Outcome, Phase, Run};
use crate::barclamp::{BarclampError, Registry};
use crate::desired::{self, Desired};
use crate::discovery;
use crate::facts::{Digest, Fact, FleetFacts, NodeOutcome, Query};
use crate::inventory::{Cluster, Inventory};
use crate::names::{BarclampName, ClusterName, NodeName};
use crate::parallel;
use crate::plan::{self, Blocked, Note, Plan, preflight};
use crate::resource::Resource;
use crate::secrets::SecretStore;
use crate::transport::{Fleet, TransportError};

/// A run.
pub struct Session {
    pub(super) inventory: Inventory,
    pub(super) digest: Digest,
    pub(super) registry: Registry,
    pub(super) attributes: BTreeMap<ClusterName, BTreeMap<BarclampName, Value>>,
    pub(super) options: Options,
    pub(super) selected: BTreeSet<NodeName>,
    pub(super) fleet: Fleet,
    /// Nodes to which there is no way: their settings cannot be used.
    pub(super) unusable: BTreeMap<NodeName, TransportError>,
    pub(super) secrets: SecretStore,
    pub(super) facts: FleetFacts,
    pub(super) events: Arc<dyn EventSink>,
}

impl Session {
    /// The clusters that have a selected node.
    pub(super) fn clusters(&self) -> impl Iterator<Item = &Cluster> {
        self.inventory
            .clusters
            .values()
            .filter(|cluster| cluster.nodes.keys().any(|node| self.selected.contains(node)))
    }

    /// What was learned.
    #[must_use]
    pub fn facts(&self) -> &FleetFacts {
        &self.facts
    }

    /// The inventory of the run.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The secrets of the run, for masking.
    #[must_use]
    pub fn secrets(&self) -> &SecretStore {
        &self.secrets
    }

    /// Every selected node must have answered.
    ///
    /// # Errors
    /// Those that did not.
    pub fn all_answered(&self) -> Result<(), PipelineError> {
        let failed: Vec<TransportError> = self
            .facts
            .failures()
            .filter(|(node, _)| self.selected.contains(*node))
            .map(|(_, error)| error.clone())
            .collect();
        if failed.is_empty() { Ok(()) } else { Err(PipelineError::Nodes(failed)) }
    }

    /// Asks these queries of these nodes and adds the answers to the facts.
    pub(super) async fn observe(&mut self, queries: &BTreeMap<NodeName, BTreeSet<Query>>) {
        discovery::observe(&self.fleet, queries, &mut self.facts, self.options.parallel).await;
    }

    /// Asks the selected nodes, on top of what is known, for what [`discovery::Report`] tells; the facts of those alone.
    pub async fn survey(&mut self) -> FleetFacts {
        let asked = self.selected.iter().map(|node| (node.clone(), discovery::report_queries())).collect();
        self.observe(&asked).await;
        let selected = self.facts.nodes.iter().filter(|(node, _)| self.selected.contains(*node));
        let nodes = selected.map(|(node, outcome)| (node.clone(), outcome.clone())).collect();
        FleetFacts { nodes, program: self.facts.program.clone() }
    }

    /// Plans the way from what was seen to what the inventory says.
    ///
    /// # Errors
    /// Nodes did not answer, or the barclamps contradict each other. What stands in the way of single changes is in
    /// the plan.
    pub async fn plan(&mut self) -> Result<Plan, PipelineError> {
        self.all_answered()?;
        let mut wanted: Vec<Box<dyn Resource>> = Vec::new();
        let mut blocked: Vec<Blocked> = Vec::new();
        let mut notes: Vec<Note> = Vec::new();
        for desired in self.desired() {
            let desired = desired.map_err(PipelineError::Barclamps)?;
            wanted.extend(desired.resources);
            notes.extend(desired.notes);
            blocked.extend(desired.blocked);
        }
        self.observe(&queries(&wanted)).await;
        self.all_answered()?;
        let mut plan = plan::build(&wanted, &self.facts, &self.secrets, self.digest.clone(), notes)?;
        blocked.extend(preflight::check(self.clusters(), &self.facts, &plan.steps));
        plan.blocked.splice(0..0, blocked);
        self.preview(&mut plan).await;
        if !self.options.on.is_all() {
            plan::restrict(&mut plan, &self.selected);
        }
        Ok(plan)
    }

    /// What is wanted of each cluster that has a selected node.
    fn desired(&self) -> Vec<Result<Desired, Vec<BarclampError>>> {
        let clusters: Vec<&Cluster> = self.clusters().collect();
        parallel::map(&clusters, |cluster| {
            let attributes = self.attributes.get(&cluster.name).cloned().unwrap_or_default();
            desired::of_cluster(cluster, &self.facts, attributes, &self.registry)
        })
    }

    /// Carries out a plan that was just made by [`Session::plan`] or that equals it.
    ///
    /// # Errors
    /// The plan holds refusals, another run is at work, or a node cannot be locked. Failures of steps are in the
    /// outcome.
    pub async fn apply(&self, plan: &Plan, cancel: watch::Receiver<bool>) -> Result<Outcome, PipelineError> {
        if !plan.blocked.is_empty() {
            return Err(PipelineError::Blocked(plan.blocked.len()));
        }
        if plan.steps.is_empty() {
            return Ok(Outcome::default());
        }
        let clusters: BTreeMap<NodeName, ClusterName> = self
            .clusters()
            .flat_map(|cluster| cluster.nodes.keys().map(|node| (node.clone(), cluster.name.clone())))
            .collect();
        let mut ledgers = BTreeMap::new();
        for (node, outcome) in &self.facts.nodes {
            // A ledger that could not be read is never written anew: what it records would be lost.
            if let NodeOutcome::Answered(facts) = outcome
                && let Fact::Known(ledger) = &facts.ledger
            {
                ledgers
                    .insert(node.clone(), Mutex::new(LedgerStore::new(ledger.clone(), facts.claims.clone())));
            }
        }
        if let Some(step) = plan.steps.iter().find(|step| !ledgers.contains_key(&step.node)) {
            return Err(PipelineError::NoLedger(step.node.clone()));
        }
        let run = Run {
            fleet: self.fleet.clone(),
            secrets: self.secrets.clone(),
            events: Arc::clone(&self.events),
            ledgers,
            clusters,
            cancel,
        };
        Ok(apply::execute(plan, &run).await)
    }

    /// Takes the lock on every node of the clusters concerned, and looks at the nodes again: another run may have
    /// changed them while the lock was waited for.
    ///
    /// # Errors
    /// Another run holds it for longer than the options allow to wait, or a node cannot be asked.
    pub async fn lock(&mut self) -> Result<Locks, PipelineError> {
        let nodes: BTreeSet<NodeName> = self
            .clusters()
            .flat_map(|cluster| cluster.nodes.keys().cloned())
            .filter(|node| self.facts.node(node).is_some())
            .collect();
        let began = Instant::now();
        self.events.emit(Event::PhaseStarted { phase: Phase::Lock, total: nodes.len() });
        let locks =
            Locks::take(&self.fleet, &nodes, &owner(), self.options.lock_timeout, self.events.as_ref())
                .await?;
        self.events.emit(Event::PhaseFinished { phase: Phase::Lock, took: began.elapsed() });
        self.discover().await;
        self.all_answered()?;
        Ok(locks)
    }
}

/// Who runs hactl, for others who find the lock taken.
fn owner() -> String {
    let user =
        std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let since = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    format!("{user}@{host}, process {}, since {since}", std::process::id())
}

/// What these resources ask, by node.
pub(super) fn queries(resources: &[Box<dyn Resource>]) -> BTreeMap<NodeName, BTreeSet<Query>> {
    let mut all: BTreeMap<NodeName, BTreeSet<Query>> = BTreeMap::new();
    for (node, query) in resources.iter().flat_map(|resource| resource.queries()) {
        all.entry(node).or_default().insert(query);
    }
    all
}
