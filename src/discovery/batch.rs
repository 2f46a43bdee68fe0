//! Merges the queries of all resources into few questions: one command per kind of thing, not one per thing.
//!
//! In: the queries. Out: batches, each a probe that answers some of them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::ClusterProbe;
use super::drbd::{DrbdModuleProbe, VolumeProbe};
use super::file::FileProbe;
use super::frames::Reply;
use super::module::ModuleProbe;
use super::package::PackageProbe;
use super::probe::Probe;
use super::script::Question;
use super::seeded::SeededProbe;
use super::sysctl::SysctlProbe;
use super::unit::UnitProbe;
use crate::facts::{Observation, Query};

/// Answers by query.
pub(super) type Observations = BTreeMap<Query, Observation>;

/// Most things that one command line names, so that it stays far below the kernel's limit.
const MAX_BATCH: usize = 500;

/// Some queries and the probe that answers them.
pub(super) struct Batch {
    queries: Vec<Query>,
    probe: Box<dyn Probe<Fact = Observations> + Send + Sync>,
}

impl Batch {
    fn new(queries: Vec<Query>, probe: impl Probe<Fact = Observations> + Send + Sync + 'static) -> Self {
        Self { queries, probe: Box::new(probe) }
    }

    /// What to ask.
    pub(super) fn question(&self) -> Question {
        Question::of(self.probe.as_ref())
    }

    /// An observation for every query of the batch, whatever the reply is.
    pub(super) fn read(&self, reply: &Reply) -> Observations {
        let answers = match reply {
            Ok(answer) => self.probe.parse(answer).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let unanswered = |why: &str| Observation::Unknown(why.to_owned());
        let one = |query: &Query| match &answers {
            Ok(answers) => answers
                .get(query)
                .cloned()
                .unwrap_or_else(|| unanswered(&format!("{}: it did not answer this", self.probe.name()))),
            Err(why) => unanswered(why),
        };
        self.queries.iter().map(|query| (query.clone(), one(query))).collect()
    }
}

/// The batches that answer these queries.
pub(super) fn batches(queries: &BTreeSet<Query>) -> Vec<Batch> {
    let mut files = BTreeMap::new();
    let (mut packages, mut units, mut modules, mut sysctls) = (vec![], vec![], vec![], vec![]);
    let mut batches = Vec::new();
    for query in queries {
        match query {
            // A file asked for with and without its text is looked at once.
            Query::File { path, text } => *files.entry(path.clone()).or_insert(false) |= text,
            Query::Package { name } => packages.push(name.clone()),
            Query::Unit { name } => units.push(name.clone()),
            Query::Module { name } => modules.push(name.clone()),
            Query::Sysctl { key } => sysctls.push(key.clone()),
            Query::DrbdModule => batches.push(Batch::new(vec![query.clone()], DrbdModuleProbe)),
            Query::Volumes => batches.push(Batch::new(vec![query.clone()], VolumeProbe(None))),
            Query::Volume(volume) => {
                batches.push(Batch::new(vec![query.clone()], VolumeProbe(Some(volume.clone()))));
            }
            Query::Seeded(directory) => {
                batches.push(Batch::new(vec![query.clone()], SeededProbe(directory.clone())));
            }
            Query::Cluster(report) => batches.push(Batch::new(vec![query.clone()], ClusterProbe(*report))),
        }
    }
    let files: Vec<_> = files.into_iter().collect();
    for chunk in files.chunks(MAX_BATCH) {
        let asked = chunk
            .iter()
            .flat_map(|(path, _)| [false, true].map(|text| Query::File { path: path.clone(), text }));
        batches.push(Batch::new(
            asked.filter(|query| queries.contains(query)).collect(),
            FileProbe(chunk.to_vec()),
        ));
    }
    for chunk in packages.chunks(MAX_BATCH) {
        let asked = chunk.iter().map(|name| Query::Package { name: name.clone() }).collect();
        batches.push(Batch::new(asked, PackageProbe(chunk.to_vec())));
    }
    for chunk in units.chunks(MAX_BATCH) {
        let asked = chunk.iter().map(|name| Query::Unit { name: name.clone() }).collect();
        batches.push(Batch::new(asked, UnitProbe(chunk.to_vec())));
    }
    for chunk in modules.chunks(MAX_BATCH) {
        let asked = chunk.iter().map(|name| Query::Module { name: name.clone() }).collect();
        batches.push(Batch::new(asked, ModuleProbe(chunk.to_vec())));
    }
    for chunk in sysctls.chunks(MAX_BATCH) {
        let asked = chunk.iter().map(|key| Query::Sysctl { key: key.clone() }).collect();
        batches.push(Batch::new(asked, SysctlProbe(chunk.to_vec())));
    }
    batches
}
