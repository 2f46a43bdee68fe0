//! The barclamps that a cluster uses, each after those that it requires.

use super::bundle::Barclamp;
use super::error::BarclampError;
use super::registry::Registry;
use super::view::ClusterView;

/// The barclamps in use, in the order in which they declare.
///
/// # Errors
/// One is not known, cannot be used, lacks what it requires, or does not support a node.
pub(super) fn in_use<'r>(
    registry: &'r Registry,
    view: &ClusterView,
) -> Result<Vec<&'r Barclamp>, Vec<BarclampError>> {
    let mut used = Vec::new();
    let mut errors = Vec::new();
    for name in view.barclamps.keys() {
        match registry.get(name.as_str()) {
            Ok(barclamp) => used.push(barclamp),
            Err(error) => errors.push(error),
        }
    }
    for barclamp in &used {
        check(barclamp, &used, registry, view, &mut errors);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    used.sort_by(|a, b| (a.manifest.order, &a.manifest.name).cmp(&(b.manifest.order, &b.manifest.name)));
    sorted(&used).map_err(|error| vec![error])
}

fn check(
    barclamp: &Barclamp,
    used: &[&Barclamp],
    registry: &Registry,
    view: &ClusterView,
    errors: &mut Vec<BarclampError>,
) {
    let manifest = &barclamp.manifest;
    if let Some(reason) = &manifest.unusable {
        errors.push(BarclampError::Unusable { name: manifest.name.clone(), reason: reason.clone() });
        return;
    }
    for requirement in &manifest.requires {
        if !used.iter().any(|other| other.manifest.satisfies(requirement)) {
            let providers: Vec<&str> = registry
                .iter()
                .filter(|other| other.manifest.satisfies(requirement) && other.manifest.unusable.is_none())
                .map(|other| other.manifest.name.as_str())
                .collect();
            errors.push(BarclampError::Requires {
                name: manifest.name.clone(),
                requires: requirement.clone(),
                cluster: view.name.to_string(),
                help: (!providers.is_empty())
                    .then(|| format!("add `{}` to its `barclamps`", providers.join("` or `"))),
            });
        }
    }
    for node in view.nodes.iter().filter(|node| !manifest.distros.contains(&node.distro)) {
        let supported: Vec<&str> = manifest.distros.iter().map(|distro| distro.pretty()).collect();
        errors.push(BarclampError::Distro {
            name: manifest.name.clone(),
            node: node.name.to_string(),
            distro: node.distro.pretty().to_owned(),
            supported: supported.join(", "),
        });
    }
}

/// Always the first one whose requirements are met.
fn sorted<'r>(used: &[&'r Barclamp]) -> Result<Vec<&'r Barclamp>, BarclampError> {
    let mut rest: Vec<&Barclamp> = used.to_vec();
    let mut sorted: Vec<&Barclamp> = Vec::new();
    while !rest.is_empty() {
        let next = rest.iter().position(|barclamp| {
            barclamp.manifest.requires.iter().all(|requirement| {
                !rest.iter().any(|other| {
                    other.manifest.name != barclamp.manifest.name && other.manifest.satisfies(requirement)
                })
            })
        });
        match next {
            Some(index) => sorted.push(rest.remove(index)),
            None => {
                let names: Vec<&str> = rest.iter().map(|barclamp| barclamp.manifest.name.as_str()).collect();
                return Err(BarclampError::Circle(names.join(", ")));
            }
        }
    }
    Ok(sorted)
}
