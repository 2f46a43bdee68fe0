//! From what `-i` named to an inventory, or to everything that is wrong with it.
//!
//! In: sources and the values of `--var`. Out: the model with the places of its values. Reads files and standard
//! input; never talks to a node, never resolves a secret.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::check;
use super::decode::{Decoder, Reference};
use super::diagnostic::Diagnostic;
use super::merge::merge;
use super::model::{Cluster, Inventory};
use super::render::{Style, render};
use super::resources::{Constraint, Resource};
use super::source::{self, Source, Sources};
use super::spans::Spans;
use super::tree::{Node, Value};
use super::value::ResourceId;
use super::variables::substitute;
use super::yaml::parse;
use crate::names::ClusterName;

/// The barclamp that provides the cluster itself and no resource that others refer to.
const CLUSTER_BARCLAMP: &str = "pacemaker";

/// An inventory that was understood.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says.
    pub inventory: Inventory,
    /// Where it says so.
    pub spans: Spans,
    references: Vec<Reference>,
}

impl Loaded {
    /// Mistakes in references to resources, now that it is known which resources the barclamps of each cluster
    /// provide. To be called once the barclamps are rendered: [`load`] itself checks only clusters whose barclamps
    /// provide none.
    #[must_use]
    pub fn check_references(
        &self,
        provided: &BTreeMap<ClusterName, BTreeSet<ResourceId>>,
    ) -> Vec<Diagnostic> {
        check::resource_references(self.references.iter(), &self.spans, |cluster| {
            provided.get(cluster).map(|ids| ids.iter().cloned().collect()).unwrap_or_default()
        })
    }

    /// These mistakes together with the texts that they point into.
    #[must_use]
    pub fn failure(&self, diagnostics: Vec<Diagnostic>) -> LoadError {
        LoadError::new(diagnostics, self.spans.sources().clone())
    }
}

/// Everything that is wrong with an inventory. Displayed, it is the plain rendering.
#[derive(Debug, Clone)]
pub struct LoadError {
    /// The mistakes, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that they point into.
    pub sources: Sources,
}

impl LoadError {
    fn new(mut diagnostics: Vec<Diagnostic>, sources: Sources) -> Self {
        diagnostics.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        diagnostics.dedup();
        Self { diagnostics, sources }
    }

    /// The mistakes as text.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        render(&self.diagnostics, &self.sources, style)
    }
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(Style::Plain))
    }
}

impl std::error::Error for LoadError {}

/// Loads an inventory from all these sources; several are merged.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(wanted: &[Source], variables: &BTreeMap<String, String>) -> Result<Loaded, LoadError> {
    let (sources, mut problems) = source::read(wanted);
    let home = std::env::var("HOME").ok().filter(|home| !home.is_empty());
    let outcome = understand(&sources, variables, home.as_deref(), &mut problems);
    match outcome {
        Some(loaded) if problems.is_empty() => Ok(loaded),
        _ => Err(LoadError::new(problems, sources)),
    }
}

/// The pure part: from texts to a model. `None` when not even a tree could be made.
fn understand(
    sources: &Sources,
    variables: &BTreeMap<String, String>,
    home: Option<&str>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Loaded> {
    let unreadable = !problems.is_empty();
    let mut root: Option<Node> = None;
    let mut broken = unreadable;
    for (id, source) in sources.iter() {
        let before = problems.len();
        match (parse(id, &source.text, problems), &mut root) {
            (Some(tree), _) if !matches!(tree.value, Value::Mapping(_)) && !tree.is_null() => {
                let message = format!("{} is not an inventory: it must be a mapping", source.name);
                problems.push(
                    Diagnostic::new("wrong-type", message).at(tree.span).help("it begins with `clusters:`"),
                );
                broken = true;
            }
            (Some(tree), Some(root)) => merge(root, tree, problems),
            (Some(tree), None) => root = Some(tree),
            (None, _) => broken |= problems.len() > before,
        }
    }
    if broken && root.is_none() {
        return None;
    }
    let mut root = root.unwrap_or_else(|| Node::from_json(&Json::Null, None));
    substitute(&mut root, variables, sources, problems);
    let mut decoder = Decoder::new(sources, home);
    let inventory = decoder.inventory(&root);
    let Decoder { problems: mistakes, references, .. } = decoder;
    let spans = Spans::new(sources.clone(), root);
    let checked = check::check(&inventory, &references, &spans);
    let without_providers = references.iter().filter(|reference| {
        let cluster = inventory.clusters.get(reference.cluster.as_str());
        cluster.is_some_and(|cluster: &Cluster| {
            cluster.barclamps.keys().all(|name| name.as_str() == CLUSTER_BARCLAMP)
        })
    });
    let dangling = check::resource_references(without_providers, &spans, |_| Vec::new());
    // With a file missing, what it would have said is missing too: that is no mistake of the others.
    let because_of_broken = |problem: &Diagnostic| {
        broken
            && matches!(
                problem.code,
                "missing-key" | "unknown-resource" | "unknown-node" | "undefined-variable" | "variable"
            )
    };
    problems.retain(|problem| !because_of_broken(problem));
    problems.extend(
        mistakes.into_iter().chain(checked).chain(dangling).filter(|problem| !because_of_broken(problem)),
    );
    Some(Loaded { inventory, spans, references })
}

/// Resources as barclamps declare them: a JSON object by id, in the vocabulary of the inventory.
///
/// # Errors
/// Everything that is wrong with them; without places.
pub fn decode_resources(resources: &Json) -> Result<BTreeMap<ResourceId, Resource>, Vec<Diagnostic>> {
    let sources = Sources::default();
    let mut decoder = Decoder::new(&sources, None);
    let decoded = decoder.resources(&Node::from_json(resources, None));
    if decoder.problems.is_empty() { Ok(decoded) } else { Err(decoder.problems) }
}

/// Constraints as barclamps declare them: a JSON array, in the vocabulary of the inventory. Ids that are made for
/// them differ from those of these resources.
///
/// # Errors
/// Everything that is wrong with them; without places.
pub fn decode_constraints(
    constraints: &Json,
    resources: &BTreeMap<ResourceId, Resource>,
) -> Result<Vec<Constraint>, Vec<Diagnostic>> {
    let sources = Sources::default();
    let mut decoder = Decoder::new(&sources, None);
    let decoded = decoder.constraints(&Node::from_json(constraints, None), resources);
    if decoder.problems.is_empty() { Ok(decoded) } else { Err(decoder.problems) }
}
