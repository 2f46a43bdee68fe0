//! Everything that can be known of an inventory without contacting anybody: barclamps, attributes, secrets.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;

use super::{PipelineError, local_files};
use crate::barclamp::{BarclampError, Registry, rehearse, secret_uses};
use crate::inventory::{Cluster, Diagnostic, Loaded, SecretRef, SecretResolver, Sudo};
use crate::names::{BarclampName, ClusterName};
use crate::parallel;
use crate::secrets::SecretStore;

/// An inventory whose barclamps are known and whose attributes are valid.
pub struct Prepared {
    /// The inventory with its places.
    pub loaded: Loaded,
    /// The barclamps.
    pub registry: Registry,
    /// Attributes of the barclamps in use, with defaults, secrets as markers.
    pub attributes: BTreeMap<ClusterName, BTreeMap<BarclampName, Value>>,
    /// Every secret that the inventory refers to, by the name in its markers.
    pub references: BTreeMap<String, SecretRef>,
}

impl Prepared {
    /// Checks the attributes of every barclamp in use against its schema.
    ///
    /// # Errors
    /// All mistakes at once, each with its place in the inventory.
    pub fn new(loaded: Loaded, registry: Registry) -> Result<Self, PipelineError> {
        let mut attributes: BTreeMap<ClusterName, BTreeMap<BarclampName, Value>> = BTreeMap::new();
        let mut references = BTreeMap::new();
        let mut mistakes: Vec<Diagnostic> = Vec::new();
        for cluster in loaded.inventory.clusters.values() {
            let resolved = attributes.entry(cluster.name.clone()).or_default();
            for (name, entry) in &cluster.barclamps {
                match registry.resolve(name, &entry.attributes, &entry.pointer) {
                    Ok(valid) => {
                        references.extend(valid.secrets.into_iter().map(|it| (it.name, it.reference)));
                        let mut value = valid.value;
                        mistakes.extend(local_files::read(
                            &loaded,
                            &registry,
                            name,
                            &entry.pointer,
                            &mut value,
                        ));
                        resolved.insert(name.clone(), value);
                    }
                    Err(errors) => {
                        mistakes
                            .extend(errors.iter().map(|error| diagnostic(&loaded, &entry.pointer, error)));
                    }
                }
            }
            references.extend(secret_uses(cluster).into_iter().map(|it| (it.name, it.reference)));
            for reference in login_secrets(cluster) {
                references.insert(reference.to_string(), reference.clone());
            }
        }
        if mistakes.is_empty() {
            mistakes = rehearsed(&loaded, &registry, &attributes);
        }
        if mistakes.is_empty() {
            Ok(Self { loaded, registry, attributes, references })
        } else {
            Err(PipelineError::Inventory(loaded.failure(mistakes)))
        }
    }

    /// Gets every secret that the inventory refers to.
    ///
    /// # Errors
    /// All that cannot be had, each with its place.
    pub async fn secrets(&self) -> Result<SecretStore, PipelineError> {
        let resolver = SecretResolver::from_environment();
        let mut store = SecretStore::default();
        let mut missing = Vec::new();
        for (name, reference) in &self.references {
            match resolver.resolve(reference, self.loaded.spans.position(name)).await {
                Ok(value) => store.insert(name.clone(), SecretString::from(value.expose().to_owned())),
                Err(error) => missing.push(error.to_string()),
            }
        }
        if missing.is_empty() { Ok(store) } else { Err(PipelineError::Secrets(missing)) }
    }
}

/// A mistake in the attributes of a barclamp, with the line of the inventory that holds it.
fn diagnostic(loaded: &Loaded, pointer: &str, error: &BarclampError) -> Diagnostic {
    match error {
        BarclampError::Attribute { error, .. } => {
            let place = format!("{pointer}{}", error.pointer);
            let told = loaded.spans.diagnostic(&place, error.code, error.message.clone());
            match &error.help {
                Some(help) => told.help(help.clone()),
                None => told,
            }
        }
        other => loaded.spans.diagnostic(pointer, "barclamp", other.to_string()),
    }
}

/// What goes wrong when everything is rendered for nodes that nobody has looked at yet.
fn rehearsed(
    loaded: &Loaded,
    registry: &Registry,
    attributes: &BTreeMap<ClusterName, BTreeMap<BarclampName, Value>>,
) -> Vec<Diagnostic> {
    let clusters: Vec<&Cluster> = loaded.inventory.clusters.values().collect();
    let errors = parallel::map(&clusters, |cluster| {
        let resolved = attributes.get(&cluster.name).cloned().unwrap_or_default();
        rehearse(registry, cluster, resolved).err().unwrap_or_default()
    });
    let mut mistakes = Vec::new();
    for (cluster, errors) in clusters.into_iter().zip(errors) {
        for error in errors {
            let entry = error.barclamp().and_then(|name| cluster.barclamps.get(name));
            let whole = || format!("/clusters/{}", cluster.name);
            let pointer = entry.map_or_else(whole, |entry| entry.pointer.clone());
            mistakes.push(diagnostic(loaded, &pointer, &error));
        }
    }
    mistakes
}

/// The secrets that logging in to the nodes of a cluster takes.
fn login_secrets(cluster: &Cluster) -> Vec<&SecretRef> {
    let mut found: Vec<&SecretRef> = Vec::new();
    for node in cluster.nodes.values() {
        found.extend(&node.ssh.passphrase);
        if let Sudo::Password(reference) = &node.ssh.sudo {
            found.push(reference);
        }
    }
    found
}
