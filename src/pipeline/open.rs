//! From a loaded inventory to an open session: everything offline first, then the connections, then the facts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::prepare::Prepared;
use super::{Options, PipelineError, Session, connect};
use crate::apply::{Event, EventSink, Phase};
use crate::barclamp::{Kind, Registry};
use crate::discovery;
use crate::facts::{Digest, FleetFacts, NodeOutcome, Query};
use crate::inventory::{Loaded, Node};
use crate::plan::preflight;

/// Where this program is read from, whatever has become of the file that it was started from.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// The barclamp that uses the kernel's DRBD.
const DRBD: &str = "drbd";

impl Session {
    /// Checks everything that can be checked offline, then connects to the nodes and learns what is always learned.
    /// A node that does not answer is data, not an error.
    ///
    /// # Errors
    /// The inventory, its barclamps, its secrets or the selection of nodes are wrong.
    pub async fn open(
        loaded: Loaded,
        options: Options,
        events: Arc<dyn EventSink>,
    ) -> Result<Self, PipelineError> {
        let selected = options.on.select(&loaded.inventory)?;
        let registry = Registry::load(&options.barclamp_paths).map_err(PipelineError::Barclamps)?;
        let prepared = Prepared::new(loaded, registry)?;
        let secrets = prepared.secrets().await?;
        let digest = Digest::of(format!("{:?}", prepared.loaded.inventory).as_bytes());
        let Prepared { loaded, registry, attributes, .. } = prepared;
        let inventory = loaded.inventory;
        let concerned: Vec<&Node> = inventory
            .clusters
            .values()
            .filter(|cluster| cluster.nodes.keys().any(|node| selected.contains(node)))
            .flat_map(|cluster| cluster.nodes.values())
            .collect();
        let (fleet, unusable) = connect::fleet(&concerned, &secrets, &options)?;
        let mut session = Self {
            inventory,
            digest,
            registry,
            attributes,
            options,
            selected,
            fleet,
            unusable,
            secrets,
            facts: FleetFacts::default(),
            events,
        };
        session.discover().await;
        Ok(session)
    }

    /// Whether a barclamp in use wants the running program on nodes.
    fn puts_the_program_somewhere(&self) -> bool {
        let mut used = self.attributes.values().flat_map(|used| used.keys());
        used.any(|name| {
            let items = self.registry.get(name.as_str()).map(|barclamp| &barclamp.items);
            items.is_ok_and(|items| items.iter().any(|item| matches!(item.kind, Kind::Program(_))))
        })
    }

    /// Learns the base facts of all nodes anew, as a stage of its own.
    pub(super) async fn discover(&mut self) {
        let began = Instant::now();
        let total = self.fleet.iter().count() + self.unusable.len();
        self.events.emit(Event::PhaseStarted { phase: Phase::Discover, total });
        self.learn_facts().await;
        for (node, outcome) in &self.facts.nodes {
            let problem = match outcome {
                NodeOutcome::Answered(_) => None,
                NodeOutcome::Failed(error) => Some(error.to_string()),
            };
            self.events.emit(Event::NodeDone { phase: Phase::Discover, node: node.clone(), problem });
        }
        self.events.emit(Event::PhaseFinished { phase: Phase::Discover, took: began.elapsed() });
    }

    /// Learns the base facts of all nodes anew, within another stage.
    pub(super) async fn learn_facts(&mut self) {
        let mut first: BTreeSet<Query> = preflight::queries().into_iter().collect();
        // For which DRBD its configuration is written must be known before anything is rendered.
        if self.attributes.values().any(|used| used.keys().any(|name| name.as_str() == DRBD)) {
            first.insert(Query::DrbdModule);
        }
        let program = match self.facts.program.take() {
            Some(digest) => Some(digest),
            None if self.puts_the_program_somewhere() => own_digest().await,
            None => None,
        };
        self.facts = discovery::discover(&self.fleet, &self.unusable, &first, self.options.parallel).await;
        self.facts.program = program;
    }
}

/// The digest of the running program; `None` when it cannot be read, which what needs it then tells.
async fn own_digest() -> Option<Digest> {
    let read = || std::fs::read(THIS_PROGRAM).ok().map(|bytes| Digest::of(&bytes));
    tokio::task::spawn_blocking(read).await.ok().flatten()
}
