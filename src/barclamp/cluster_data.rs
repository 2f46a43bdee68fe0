//! The cluster's resources and constraints: those of the inventory and those that barclamps declare.

use std::collections::BTreeMap;

use super::error::BarclampError;
use super::expand::Instance;
use super::fencing::Fencing;
use super::item::ClusterItem;
use super::view::ClusterView;
use crate::inventory::{Constraint, Diagnostic, Resource, ResourceId, decode_constraints, decode_resources};

/// Everything that goes into the CIB beside properties and nodes.
#[derive(Debug, Default)]
pub(super) struct ClusterData {
    /// Resources by id, with who declares them.
    resources: BTreeMap<ResourceId, (String, Resource)>,
    /// Constraints, with who declares them.
    constraints: Vec<(String, Constraint)>,
    /// Fencing.
    pub(super) fencing: Fencing,
}

impl ClusterData {
    /// What the inventory says.
    pub(super) fn of_inventory(view: &ClusterView) -> Self {
        let by = || "the inventory".to_owned();
        Self {
            resources: view.resources.iter().map(|it| (it.id.clone(), (by(), it.clone()))).collect(),
            constraints: view.constraints.iter().map(|it| (by(), it.clone())).collect(),
            fencing: Fencing::default(),
        }
    }

    /// Adds what an item declares.
    pub(super) fn add(
        &mut self,
        instance: &Instance<'_>,
        item: &ClusterItem,
    ) -> Result<(), Vec<BarclampError>> {
        let by = format!("barclamp `{}`", instance.barclamp.manifest.name);
        let all = |problems: Vec<Diagnostic>| {
            problems.into_iter().map(|problem| instance.error(words(&problem))).collect::<Vec<_>>()
        };
        let rendered = instance.data(&item.resources).map_err(|error| vec![error])?;
        let resources = decode_resources(&rendered).map_err(&all)?;
        let constraints = instance.data(&item.constraints).map_err(|error| vec![error])?;
        let mut known: BTreeMap<ResourceId, Resource> =
            self.resources.iter().map(|(id, (_, resource))| (id.clone(), resource.clone())).collect();
        known.extend(resources.clone());
        let constraints = decode_constraints(&constraints, &known).map_err(all)?;
        self.extend(&by, resources.into_values(), constraints)
            .map_err(|messages| messages.into_iter().map(|message| instance.error(message)).collect())
    }

    /// Adds fence devices.
    pub(super) fn add_fencing(
        &mut self,
        instance: &Instance<'_>,
        fencing: Fencing,
    ) -> Result<(), Vec<BarclampError>> {
        let by = format!("barclamp `{}`", instance.barclamp.manifest.name);
        self.extend(&by, fencing.devices.iter().cloned(), fencing.constraints.clone()).map_err(
            |messages| messages.into_iter().map(|message| instance.error(message)).collect::<Vec<_>>(),
        )?;
        self.fencing = fencing;
        Ok(())
    }

    fn extend(
        &mut self,
        by: &str,
        resources: impl IntoIterator<Item = Resource>,
        constraints: Vec<Constraint>,
    ) -> Result<(), Vec<String>> {
        let mut clashes = Vec::new();
        for resource in resources {
            match self.resources.get(&resource.id) {
                Some((other, _)) => {
                    clashes.push(format!("resource `{}` is declared by {other} already", resource.id))
                }
                None => drop(self.resources.insert(resource.id.clone(), (by.to_owned(), resource))),
            }
        }
        for constraint in constraints {
            match self.constraints.iter().find(|(_, other)| other.id == constraint.id) {
                Some((other, _)) => {
                    clashes.push(format!("constraint `{}` is declared by {other} already", constraint.id))
                }
                None => self.constraints.push((by.to_owned(), constraint)),
            }
        }
        if clashes.is_empty() { Ok(()) } else { Err(clashes) }
    }

    /// References that lead nowhere, and members that belong to two.
    pub(super) fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut owners: BTreeMap<&ResourceId, &ResourceId> = BTreeMap::new();
        for (id, (by, resource)) in &self.resources {
            for reference in resource.references() {
                if !self.resources.contains_key(reference) {
                    wrong.push(format!(
                        "resource `{id}` of {by} refers to `{reference}`, which is not declared"
                    ));
                }
            }
            if matches!(resource.kind, crate::inventory::ResourceKind::Primitive(_)) {
                continue;
            }
            for member in resource.references() {
                if let Some(other) = owners.insert(member, id) {
                    wrong.push(format!("resource `{member}` is part of both `{other}` and `{id}`"));
                }
            }
        }
        for (by, constraint) in &self.constraints {
            for reference in constraint.references() {
                if !self.resources.contains_key(reference) {
                    wrong.push(format!(
                        "constraint `{}` of {by} refers to `{reference}`, which is not declared",
                        constraint.id
                    ));
                }
            }
            if self.resources.contains_key(&constraint.id) {
                wrong.push(format!("`{}` is both a resource and a constraint", constraint.id));
            }
        }
        wrong
    }

    /// The resources, by id.
    pub(super) fn resources(&self) -> BTreeMap<&ResourceId, &Resource> {
        self.resources.iter().map(|(id, (_, resource))| (id, resource)).collect()
    }

    /// The constraints, in the order of their declaration.
    pub(super) fn constraints(&self) -> impl Iterator<Item = &Constraint> {
        self.constraints.iter().map(|(_, constraint)| constraint)
    }

    /// Whether there is nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.constraints.is_empty()
    }
}

fn words(problem: &Diagnostic) -> String {
    let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    format!("{}{help}", problem.message)
}
