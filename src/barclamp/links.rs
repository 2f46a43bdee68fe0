//! What comes before what: from the ids of items to the ids of declarations.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;

use super::declaration::Declaration;
use super::declare::Draft;
use super::expand::Instance;
use super::item::{Item, ItemRef, Kind};
use crate::names::NodeName;
use crate::resource::ResourceId;

/// The declarations of an item, with their nodes.
type Declared<'a> = Vec<(Option<&'a NodeName>, &'a Declaration)>;

/// An index of all declarations of a cluster.
pub(super) struct Links<'a> {
    /// By barclamp and item.
    declared: BTreeMap<(&'a str, &'a str), Declared<'a>>,
    /// The items, also those that declare nothing here.
    items: BTreeMap<(&'a str, &'a str), &'a Item>,
    /// The instances whose data goes into the CIB.
    data: Vec<&'a Instance<'a>>,
    /// The CIB.
    cib: Option<&'a ResourceId>,
    drafts: &'a [Draft],
}

impl<'a> Links<'a> {
    /// Indexes them.
    pub(super) fn new(all: &'a [Instance<'a>], drafts: &'a [Draft]) -> Self {
        let mut declared: BTreeMap<(&str, &str), Declared<'a>> = BTreeMap::new();
        for draft in drafts {
            let instance = &all[draft.instance];
            let key = (instance.barclamp.manifest.name.as_str(), instance.item.id.as_str());
            declared.entry(key).or_default().push((draft.declaration.node(), &draft.declaration));
        }
        let items = all.iter().flat_map(|instance| {
            instance
                .barclamp
                .items
                .iter()
                .map(|item| ((instance.barclamp.manifest.name.as_str(), item.id.as_str()), item))
        });
        let data =
            all.iter().filter(|instance| matches!(instance.item.kind, Kind::Cluster(_) | Kind::Fencing));
        let cib = drafts.iter().find(|draft| matches!(draft.declaration, Declaration::Cib(_)));
        Self {
            declared,
            items: items.collect(),
            data: data.collect(),
            cib: cib.map(|draft| draft.declaration.id()),
            drafts,
        }
    }

    /// What an instance comes after, for a declaration on this node.
    pub(super) fn after(&self, instance: &Instance<'_>, node: Option<&NodeName>) -> BTreeSet<ResourceId> {
        let mut ids = BTreeSet::new();
        self.collect(
            instance.barclamp.manifest.name.as_str(),
            &instance.item.after,
            node,
            &mut BTreeSet::new(),
            &mut ids,
        );
        ids
    }

    /// What must be in place before the cluster is told of the data that barclamps declare for it.
    pub(super) fn behind_cluster_data(&self) -> BTreeSet<ResourceId> {
        let mut ids = BTreeSet::new();
        for instance in &self.data {
            let barclamp = instance.barclamp.manifest.name.as_str();
            self.collect(barclamp, &instance.item.after, None, &mut BTreeSet::new(), &mut ids);
            let own = self.declared.get(&(barclamp, instance.item.id.as_str()));
            ids.extend(own.into_iter().flatten().map(|(_, declaration)| declaration.id().clone()));
        }
        ids
    }

    fn collect(
        &self,
        barclamp: &str,
        references: &[ItemRef],
        node: Option<&NodeName>,
        seen: &mut BTreeSet<(String, String)>,
        ids: &mut BTreeSet<ResourceId>,
    ) {
        for reference in references {
            let owner = reference.barclamp.as_deref().unwrap_or(barclamp);
            if !seen.insert((owner.to_owned(), reference.item.clone())) {
                continue;
            }
            let Some(item) = self.items.get(&(owner, reference.item.as_str())) else { continue };
            let here = self.declared.get(&(owner, reference.item.as_str()));
            match here {
                Some(declared) => ids.extend(matching(declared, node)),
                // Not declared for this cluster: what it comes after still comes first.
                None if !matches!(item.kind, Kind::Cluster(_)) => {
                    self.collect(owner, &item.after, node, seen, ids)
                }
                None => ids.extend(self.cib.cloned()),
            }
        }
    }

    /// The packages on a node that keep a unit stopped while they are installed.
    pub(super) fn holder(&self, unit: &str, node: &NodeName) -> Option<ResourceId> {
        self.drafts.iter().find_map(|draft| match &draft.declaration {
            Declaration::Packages(it) if &it.node == node && it.keep_stopped.contains(unit) => {
                Some(it.id.clone())
            }
            _ => None,
        })
    }

    /// The files at these paths (separated by blanks) on a node, whichever item they are of.
    pub(super) fn files_at(&self, paths: &str, node: &NodeName) -> Vec<(Utf8PathBuf, ResourceId)> {
        let wanted: BTreeSet<&str> = paths.split_whitespace().collect();
        let files = self.drafts.iter().filter_map(|draft| match &draft.declaration {
            Declaration::File(file) if &file.node == node => Some(file),
            _ => None,
        });
        files
            .filter(|file| wanted.contains(file.path.as_str()))
            .map(|file| (file.path.clone(), file.id.clone()))
            .collect()
    }

    /// The files of these items on a node.
    pub(super) fn files(
        &self,
        instance: &Instance<'_>,
        items: &[String],
        node: &NodeName,
    ) -> Vec<(Utf8PathBuf, ResourceId)> {
        let barclamp = instance.barclamp.manifest.name.as_str();
        let declared =
            items.iter().filter_map(|item| self.declared.get(&(barclamp, item.as_str()))).flatten();
        declared
            .filter_map(|(_, declaration)| match declaration {
                Declaration::File(file) if &file.node == node => Some((file.path.clone(), file.id.clone())),
                _ => None,
            })
            .collect()
    }
}

/// Those on the same node and those of the cluster; all of them for what is the cluster's, and where there is none on
/// the node.
fn matching(declared: &Declared<'_>, node: Option<&NodeName>) -> Vec<ResourceId> {
    let ids = |wanted: &dyn Fn(Option<&NodeName>) -> bool| -> Vec<ResourceId> {
        declared
            .iter()
            .filter(|(of, _)| wanted(*of))
            .map(|(_, declaration)| declaration.id().clone())
            .collect()
    };
    match node {
        None => ids(&|_| true),
        Some(node) => {
            let near = ids(&|of| of.is_none_or(|of| of == node));
            if near.is_empty() { ids(&|_| true) } else { near }
        }
    }
}
