//! Planning alone, without I/O: 1,000 nodes in 100 clusters with 10,000 objects in their CIBs.
//!
//! Timed is everything between the facts and the plan: the barclamps' templates, the graph of resources, the
//! comparison of files, units and CIBs, the order of the steps, preflight. Twice: on bare nodes (everything is to be
//! done) and on nodes where all of that was done (nothing is).

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use hactl::barclamp::Registry;
use hactl::desired;
use hactl::facts::{Digest, FleetFacts};
use hactl::inventory::{Source, load};
use hactl::parallel;
use hactl::pipeline::Prepared;
use hactl::plan::{Plan, build, preflight};
use hactl::resource::Resource;
use hactl::secrets::SecretStore;

use crate::figure::{Figure, Goal};
use crate::measure::{Samples, Side, alternate};
use crate::model;

/// Rounds of each measurement.
const ROUNDS: usize = 5;
/// Numbers of clusters, least first.
const STEPS: [usize; 3] = [25, 50, 100];
/// Nodes of each cluster.
const NODES: usize = 10;
/// Primitives of each cluster; each has a location constraint too, so that there are twice as many objects.
const PRIMITIVES: usize = 50;
/// How long planning for all of it may take, in seconds.
const LIMIT_S: f64 = 1.0;

/// Measures.
///
/// # Errors
/// The plan for nodes on which everything was done is not empty.
pub(crate) fn measure() -> Result<Vec<Figure>> {
    let cases: Vec<Case> = STEPS.iter().map(|clusters| Case::new(*clusters)).collect::<Result<_>>()?;
    let mut sides: Vec<Side<'_>> = Vec::new();
    for case in &cases {
        sides.push(Box::new(|| case.timed(&case.bare)));
        sides.push(Box::new(|| case.timed(&case.done)));
    }
    let samples = alternate(ROUNDS, &mut sides)?;
    let mut figures = Vec::new();
    let size = format!(
        "{} nodes, {} clusters, {} CIB objects",
        STEPS[2] * NODES,
        STEPS[2],
        STEPS[2] * PRIMITIVES * 2
    );
    for (offset, what) in ["bare nodes", "nothing to do"].into_iter().enumerate() {
        let of = |step: usize| &samples[2 * step + offset];
        let name = format!("planning alone, {size}, {what}");
        let growth = f64::from(u32::try_from(STEPS[2] / STEPS[0])?);
        let steps = steps(&[of(0), of(1), of(2)]);
        figures.push(Figure::new(
            &name,
            "a second",
            Goal::AtMost(LIMIT_S),
            of(2).median(),
            "s",
            of(2).to_string(),
        ));
        figures.push(Figure::new(
            &format!("{name}: growth"),
            &format!("{growth} x the time of {} nodes", STEPS[0] * NODES),
            Goal::AtMost(1.25),
            of(2).median() / of(0).median() / growth,
            "x",
            steps,
        ));
    }
    Ok(figures)
}

fn steps(samples: &[&Samples]) -> String {
    let told = STEPS.iter().zip(samples).map(|(clusters, it)| format!("{} nodes {it}", clusters * NODES));
    told.collect::<Vec<_>>().join(", ")
}

/// An inventory with its facts, before and after.
struct Case {
    prepared: Prepared,
    bare: FleetFacts,
    done: FleetFacts,
}

impl Case {
    fn new(clusters: usize) -> Result<Self> {
        let text = inventory(clusters);
        let source = Source::Text { name: "bench".to_owned(), text };
        let loaded = load(&[source], &BTreeMap::new()).map_err(|error| anyhow!("{error}"))?;
        let registry = Registry::embedded().map_err(|errors| anyhow!("{errors:?}"))?;
        let prepared = Prepared::new(loaded, registry)?;
        let bare = model::bare(&prepared.loaded.inventory);
        let mut case = Self { prepared, bare: bare.clone(), done: bare };
        let resources = case.resources(&case.bare)?;
        model::absent(&mut case.bare, &resources);
        let first = case.plan(&case.bare)?;
        ensure!(first.blocked.is_empty(), "the plan for bare nodes is refused: {:?}", first.blocked.first());
        case.done = model::carried_out(&first, case.bare.clone(), &case.prepared.loaded.inventory)?;
        let second = case.plan(&case.done)?;
        ensure!(
            second.steps.is_empty() && second.blocked.is_empty(),
            "the second plan is not empty: {:?} {:?}",
            second.changes.first(),
            second.blocked.first()
        );
        Ok(case)
    }

    fn resources(&self, facts: &FleetFacts) -> Result<Vec<Box<dyn Resource>>> {
        let clusters: Vec<_> = self.prepared.loaded.inventory.clusters.values().collect();
        let parts = parallel::map(&clusters, |cluster| {
            let attributes = self.prepared.attributes.get(&cluster.name).cloned().unwrap_or_default();
            desired::of_cluster(cluster, facts, attributes, &self.prepared.registry)
                .map_err(|errors| anyhow!("{errors:?}"))
        });
        let mut all = Vec::new();
        for part in parts {
            let part = part?;
            ensure!(part.blocked.is_empty(), "{:?}", part.blocked);
            all.extend(part.resources);
        }
        Ok(all)
    }

    fn plan(&self, facts: &FleetFacts) -> Result<Plan> {
        let resources = self.resources(facts)?;
        let digest = Digest::of(b"bench");
        let mut plan = build(&resources, facts, &SecretStore::default(), digest, Vec::new())?;
        let refused = preflight::check(self.prepared.loaded.inventory.clusters.values(), facts, &plan.steps);
        // The files that preflight asks for are not in this model, only what resources ask for.
        plan.blocked.extend(refused.into_iter().filter(|it| !it.reason.contains("was not asked")));
        Ok(plan)
    }

    fn timed(&self, facts: &FleetFacts) -> Result<std::time::Duration> {
        let began = Instant::now();
        let plan = self.plan(facts)?;
        let took = began.elapsed();
        std::hint::black_box(plan);
        Ok(took)
    }
}

fn inventory(clusters: usize) -> String {
    let mut text = String::from("clusters:\n");
    for cluster in 1..=clusters {
        text.push_str(&format!("  c{cluster:03}:\n    nodes:\n"));
        for node in 1..=NODES {
            let address = format!("10.{}.{}.{node}", cluster / 250, cluster % 250);
            text.push_str(&format!(
                "      c{cluster:03}n{node:02}: {{ address: {address}, links: [{address}] }}\n"
            ));
        }
        text.push_str(
            "    barclamps: { pacemaker: { fencing: { disabled: these nodes exist in memory only } } }\n    resources:\n",
        );
        for number in 1..=PRIMITIVES {
            text.push_str(&format!(
                "      p{number:03}: {{ primitive: 'ocf:pacemaker:Dummy', params: {{ state: /run/p{number:03} }}, \
                 operations: {{ monitor: {{ interval: 10s, timeout: 20s }} }} }}\n"
            ));
        }
        text.push_str("    constraints:\n");
        for number in 1..=PRIMITIVES {
            let node = number % NODES + 1;
            text.push_str(&format!(
                "      - {{ location: p{number:03}, node: c{cluster:03}n{node:02}, score: 100 }}\n"
            ));
        }
    }
    text
}
